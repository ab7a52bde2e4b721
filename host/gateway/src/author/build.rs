//! `limen policy build`: cargo, as a policy needs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::must_be_there;
use crate::StartError;

const TARGET: &str = "wasm32-wasip2";

/// Builds the policy in a folder and says where its component is. Cargo says itself what is wrong.
pub fn build(folder: &Path) -> Result<PathBuf, StartError> {
    let failed = |what: String| StartError::Machine(what);
    must_be_there(folder)?;
    if !folder.join("Cargo.toml").is_file() {
        return Err(failed(format!(
            "there is no Cargo.toml in {}: not the folder of a policy",
            folder.display()
        )));
    }
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"])
        .current_dir(folder)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| failed(format!("could not run cargo, which builds policies: {error}")))?;
    if !output.status.success() {
        let hint = match has_target() {
            true if wants_published_sdk(folder) => {
                "cargo says why above. Is it that it finds no `limen-sdk`? Then say in Cargo.toml where its folder is: \
                 limen-sdk = { path = \"...\" }; `limen policy new --sdk FOLDER` does that"
                    .to_owned()
            }
            true => "cargo says why above".to_owned(),
            false => format!("its target is missing: `rustup target add {TARGET}`"),
        };
        return Err(failed(format!("the policy could not be built; {hint}")));
    }
    component(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
        failed("cargo built no component: does Cargo.toml say crate-type = [\"cdylib\"]?".to_owned())
    })
}

/// The last component that cargo tells of.
fn component(messages: &str) -> Option<PathBuf> {
    let artifacts = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut files = artifacts.filter_map(|artifact| {
        let files = artifact.get("filenames")?.as_array()?;
        files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".wasm")).map(PathBuf::from)
    });
    files.next_back()
}

/// Whether it takes the SDK from where cargo gets packages, and has not got it yet.
fn wants_published_sdk(folder: &Path) -> bool {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
    let is_locked = folder.join("Cargo.lock").is_file();
    !is_locked && manifest.lines().any(|line| line.starts_with("limen-sdk = \""))
}

fn has_target() -> bool {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let folder = output.ok().and_then(|output| String::from_utf8(output.stdout).ok());
    folder.is_some_and(|folder| Path::new(folder.trim()).is_dir())
}
