//! What has to be built: the gateway with the demo origin, the plugins, the tests' guests.

use crate::Outcome;
use crate::process::{Workspace, cargo, root, rustup, target};
use std::path::Path;
use std::process::Command;

pub(crate) const WASM: &str = "wasm32-wasip2";

/// How many builds of the guest `version` there are, told apart by their number, for hot-swap tests.
const VERSIONS: u32 = 4;

pub(crate) fn plugins_command(_: &[String]) -> Outcome {
    wasm_target()?;
    plugins()
}

pub(crate) fn guests_command(_: &[String]) -> Outcome {
    wasm_target()?;
    guests()
}

/// The `limen` and `limen-origin` binaries, in `target/release`.
///
/// Features are those of the whole workspace, as when its tests are built: with the features of one
/// package alone some dependencies would differ, and wasmtime be compiled twice.
pub(crate) fn binaries() -> Outcome {
    eprintln!("\nbuilding the gateway (the first time compiles wasmtime, which takes minutes)");
    cargo(Workspace::Gateway, "build", &["--bin", "limen", "--bin", "limen-origin"], &[])
}

/// The reference plugins, one component each in `target/wasm32-wasip2/release`.
pub(crate) fn plugins() -> Outcome {
    eprintln!("\nbuilding the reference plugins");
    cargo(Workspace::Plugins, "build", &["--target", WASM], &[])
}

/// The tests' guests, next to the plugins, and the guest `version` once per number in `target/guests`.
pub(crate) fn guests() -> Outcome {
    eprintln!("\nbuilding the tests' guests");
    for version in 1..=VERSIONS {
        // The same command each time, so that features stay the same: only `version` is compiled anew.
        let environment = [("GUEST_VERSION", &*version.to_string())];
        cargo(Workspace::Guests, "build", &["--target", WASM], &environment)?;
        let built = target().join(WASM).join("release/version.wasm");
        copy(&built, &target().join(format!("guests/version-{version}.wasm")))?;
    }
    Ok(())
}

/// Makes sure that Rust can compile for wasm; asks rustup, and so the network, only if it can't yet.
pub(crate) fn wasm_target() -> Outcome {
    let rustc = Command::new("rustc")
        .current_dir(root())
        .args(["--print", "target-libdir", "--target", WASM])
        .output()
        .map_err(|error| format!("cannot run rustc: {error}"))?;
    if Path::new(String::from_utf8_lossy(&rustc.stdout).trim()).is_dir() {
        return Ok(());
    }
    eprintln!("\nadding the target {WASM}");
    rustup(&["target", "add", WASM]).map_err(|error| {
        format!(
            "{error}\nhint: policies are built with Rust's target {WASM}; \
             install it with rustup (https://rustup.rs) or the way you installed Rust"
        )
    })
}

pub(crate) fn copy(from: &Path, to: &Path) -> Outcome {
    let folder = to.parent().unwrap_or(to);
    std::fs::create_dir_all(folder)
        .map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    std::fs::copy(from, to)
        .map(drop)
        .map_err(|error| format!("cannot copy {} to {}: {error}", from.display(), to.display()))
}
