//! Running other programs: always announced, always from a known folder, their output let through.

use crate::Outcome;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's three workspaces; the plugins' also built natively, for their own tests.
#[derive(Clone, Copy)]
pub(crate) enum Workspace {
    Gateway,
    Plugins,
    PluginsNative,
    Guests,
}

impl Workspace {
    fn folder(self) -> &'static str {
        match self {
            Workspace::Gateway => "",
            Workspace::Plugins | Workspace::PluginsNative => "plugins",
            Workspace::Guests => "tests/guests",
        }
    }

    /// Where its builds go, whatever the environment prefers: examples and tests name components
    /// below the repository's `target`.
    fn target_dir(self) -> &'static str {
        match self {
            Workspace::Gateway => "target",
            Workspace::Plugins => "../target",
            Workspace::PluginsNative => "../target/plugins-native",
            Workspace::Guests => "../../target",
        }
    }
}

/// The repository's top folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

pub(crate) fn target() -> PathBuf {
    root().join("target")
}

/// Runs a cargo command that compiles: `build`, `test`, `clippy`.
pub(crate) fn cargo(
    workspace: Workspace,
    command: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Outcome {
    let mut all = vec![command, "--release", "--workspace", "--target-dir", workspace.target_dir()];
    // The lock files are committed. Somebody adding a dependency may let cargo write them; CI may not.
    if std::env::var_os("CI").is_some() {
        all.push("--locked");
    }
    all.extend(arguments);
    plain_cargo(workspace, &all, environment)
}

/// Runs cargo with exactly these arguments.
pub(crate) fn plain_cargo(workspace: Workspace, arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let folder = workspace.folder();
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root().join(folder)).args(arguments).envs(environment.iter().copied());
    // What `cargo run` told us about xtask is not meant for the build scripts of other crates: some
    // rebuild when such a variable changes, and would do so on every turn between us and plain cargo.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    announce(folder, "cargo", arguments, environment);
    to_its_end(command, &format!("cargo {}", arguments.first().unwrap_or(&"")))
}

/// Runs rustup in the root, where `rust-toolchain.toml` says which toolchain is meant.
pub(crate) fn rustup(arguments: &[&str]) -> Outcome {
    let mut command = Command::new("rustup");
    command.current_dir(root()).args(arguments);
    announce("", "rustup", arguments, &[]);
    to_its_end(command, "rustup")
}

/// Runs a program until it ends, well.
pub(crate) fn to_its_end(mut command: Command, name: &str) -> Outcome {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} failed ({status})")),
        Err(error) => Err(format!("cannot run {name}: {error}")),
    }
}

fn announce(folder: &str, program: &str, arguments: &[&str], environment: &[(&str, &str)]) {
    let mut line = String::from("$ ");
    if !folder.is_empty() {
        line.push_str(&format!("cd {folder} && "));
    }
    for (name, value) in environment {
        line.push_str(&format!("{name}={value} "));
    }
    eprintln!("{line}{program} {}", arguments.join(" "));
}
