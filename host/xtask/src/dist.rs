//! `cargo xtask dist`: the gateway for production, optimised by a profile of one that served (rustc's book,
//! "Profile-guided Optimization").
//!
//! Both are built in the same way but for that: fat LTO on top of it has gained nothing, measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::build;
use crate::process::{Workspace, cargo, plain_cargo, root, rustup, target, to_its_end};

pub(crate) fn run(_: &[String]) -> Outcome {
    let merge = profdata()?;
    build::wasm_target()?;
    build::plugins()?;
    eprintln!("\nbuilding what asks the gateway");
    cargo(Workspace::Gateway, "build", &["--bin", "limen-training"], &[])?;

    let folder = target().join("dist/profile");
    let profile = folder.join("merged.profdata");
    // Counts of another build would be counts of other code.
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .map_err(|error| format!("cannot remove {}: {error}", folder.display()))?;
    }
    eprintln!("\nbuilding a gateway that counts what it does");
    let counting = limen(&format!("-Cprofile-generate={}", folder.display()))?;
    eprintln!("\nletting it serve");
    let mut training = Command::new(target().join("release/limen-training"));
    training.args([&*counting, &*target()]).current_dir(root());
    to_its_end(training, "limen-training")?;
    let mut merging = Command::new(merge);
    merging.args(["merge", "--output"]).args([&*profile, &*folder]);
    to_its_end(merging, "llvm-profdata")?;

    eprintln!("\nbuilding the gateway by what was counted");
    let built = limen(&format!("-Cprofile-use={}", profile.display()))?;
    let place = target().join("dist/limen");
    build::copy(&built, &place)?;
    println!("\n{}", place.display());
    Ok(())
}

/// A gateway compiled with this flag, beside those without: where it is.
fn limen(flag: &str) -> Result<PathBuf, String> {
    let given = std::env::var("RUSTFLAGS").unwrap_or_default();
    let flags: Vec<&str> = given.split_whitespace().chain([flag]).collect();
    // With a target named, what runs while it is built is not compiled with the flag.
    let host = told("rustc", &["--print", "host-tuple"])?;
    let mut arguments = vec!["build", "--release", "--workspace", "--bin", "limen"];
    arguments.extend(["--target", &host, "--target-dir", "target/profiled"]);
    if std::env::var_os("CI").is_some() {
        arguments.push("--locked");
    }
    plain_cargo(Workspace::Gateway, &arguments, &[("CARGO_ENCODED_RUSTFLAGS", &flags.join("\u{1f}"))])?;
    Ok(target().join("profiled").join(host).join("release/limen"))
}

/// The program that adds profiles up, which comes with the toolchain; asks rustup if it isn't there yet.
fn profdata() -> Result<PathBuf, String> {
    let (sysroot, host) =
        (told("rustc", &["--print", "sysroot"])?, told("rustc", &["--print", "host-tuple"])?);
    let program = Path::new(&sysroot).join("lib/rustlib").join(host).join("bin/llvm-profdata");
    if !program.exists() {
        eprintln!("\nadding llvm-tools");
        rustup(&["component", "add", "llvm-tools"])
            .map_err(|error| format!("{error}\nhint: rustup's component llvm-tools has llvm-profdata"))?;
    }
    match program.exists() {
        true => Ok(program),
        false => Err(format!("llvm-tools has no {}", program.display())),
    }
}

/// The one line that a program prints.
fn told(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).current_dir(root()).args(arguments).output();
    let output = output.map_err(|error| format!("cannot run {program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(format!("{program} {} failed", arguments.join(" "))),
    }
}
