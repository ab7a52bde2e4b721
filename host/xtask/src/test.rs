//! `cargo xtask test [FILTER]`: builds what tests need, then runs all of them, even after a failure.

use crate::Outcome;
use crate::build;
use crate::process::{Workspace, cargo};

pub(crate) fn run(filter: &[String]) -> Outcome {
    build::wasm_target()?;
    build::binaries()?;
    build::plugins()?;
    build::guests()?;

    let mut arguments = vec!["--no-fail-fast"];
    arguments.extend(filter.iter().map(String::as_str));
    eprintln!("\ntesting the plugins natively");
    let plugins = cargo(Workspace::PluginsNative, "test", &arguments, &[]);
    eprintln!("\ntesting the workspace, and the gateway as a whole");
    let gateway = cargo(Workspace::Gateway, "test", &arguments, &[]);

    match (plugins, gateway) {
        (Ok(()), Ok(())) => Ok(()),
        (Err(_), Ok(())) => Err("the plugins' own tests failed (see further up)".to_owned()),
        (Ok(()), Err(_)) => Err("tests failed".to_owned()),
        (Err(_), Err(_)) => Err("tests failed, and the plugins' own too (see further up)".to_owned()),
    }
}
