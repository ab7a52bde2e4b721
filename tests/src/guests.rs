//! Where the components are that `cargo xtask test` has built.

use std::path::{Path, PathBuf};

/// A guest of the tests: `guest("loops")` is `tests/guests/loops`, compiled.
pub fn guest(name: &str) -> PathBuf {
    component(name)
}

/// The guest `version`, built to answer with this number.
pub fn guest_version(number: u32) -> PathBuf {
    built(format!("guests/version-{number}.wasm"))
}

/// A reference plugin: `plugin("api-key")` is `plugins/api-key`, compiled.
pub fn plugin(name: &str) -> PathBuf {
    component(name)
}

/// Something that has been built, by its path below `target`.
pub(crate) fn built(path: impl AsRef<Path>) -> PathBuf {
    let path = target().join(path);
    assert!(path.exists(), "{} is not there: run `cargo xtask test`, which builds it", path.display());
    path
}

/// The `target` directory, as seen from this test's own binary in `target/release/deps`.
pub(crate) fn target() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(3).expect("a test binary lives in target/PROFILE/deps").to_path_buf()
}

/// The folder of this test's profile, `target/release`, where binaries are.
pub(crate) fn profile() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).expect("a test binary lives in target/PROFILE/deps").to_path_buf()
}

fn component(name: &str) -> PathBuf {
    built(format!("wasm32-wasip2/release/{}.wasm", name.replace('-', "_")))
}
