//! `cargo xtask check`: formatting and lints of everything that is Rust, whether the references are current, and
//! the contract with policies still what it was.

use crate::Outcome;
use crate::build::{WASM, wasm_target};
use crate::process::{Workspace, cargo, plain_cargo};
use crate::{contract, manual, reference};

/// The release profile, which tests and users build with: so the build scripts' work, a C library for
/// TLS among it, is done once for lints, tests and the gateway.
pub(crate) fn run(_: &[String]) -> Outcome {
    for workspace in [Workspace::Gateway, Workspace::Plugins, Workspace::Guests] {
        plain_cargo(workspace, &["fmt", "--all", "--check"], &[])?;
    }
    contract::check()?;
    reference::is_current()?;
    manual::is_current()?;
    wasm_target()?;
    let deny = ["--", "-D", "warnings"];
    let with = |flags: &[&'static str]| [flags, &deny].concat();
    cargo(Workspace::Gateway, "clippy", &with(&["--all-targets"]), &[])?;
    // The smallest build: what is left out of it nothing else may need.
    cargo(Workspace::Gateway, "clippy", &with(&["--no-default-features"]), &[])?;
    cargo(Workspace::PluginsNative, "clippy", &with(&["--all-targets"]), &[])?;
    cargo(Workspace::Plugins, "clippy", &with(&["--target", WASM]), &[])?;
    cargo(Workspace::Guests, "clippy", &with(&["--target", WASM]), &[])
}
