//! The bytes of a plugin's component, if they are those that the operator wants.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use limen_config::{ConfigError, Plugin, PublicKey};
use minisign_verify::Signature;
use sha2::{Digest, Sha256};

/// A component that is larger is none: those of interpreted languages have some 20 MiB.
const LARGEST: u64 = 256 << 20;

/// A signature is four short lines.
const LARGEST_SIGNATURE: u64 = 64 << 10;

/// Reads a component. It is read once: what was checked is what will run.
pub fn read(plugin: &Plugin, trust: &[PublicKey]) -> Result<Vec<u8>, ConfigError> {
    let file = plugin.component.display();
    let fault = |message: String| {
        ConfigError::new(plugin.place.clone(), format!("plugin `{}`: {message}", plugin.name))
    };
    let bytes = read_file(&plugin.component, LARGEST)
        .map_err(|error| fault(format!("could not read its component {file}: {error}")))?;
    if let Some(pinned) = plugin.sha256 {
        let found: [u8; 32] = Sha256::digest(&bytes).into();
        if found != pinned {
            return Err(fault(format!("its component {file} is not the one that `sha256` names"))
                .expected(hex(&pinned))
                .hint(format!("it is {}", hex(&found))));
        }
    }
    if !trust.is_empty() {
        check_signature(&plugin.component, &bytes, trust).map_err(|reason| {
            fault(format!("its component {file} is not signed by a key of [gateway] trust: {reason}"))
                .hint(format!("`minisign -Sm {file}` with one of these keys makes its signature"))
        })?;
    }
    Ok(bytes)
}

/// The bytes of a file, which is one and not without end.
fn read_file(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    // Asked before it is opened: opening a pipe would wait for someone to write.
    let found = std::fs::metadata(path)?;
    if !found.is_file() && !found.is_dir() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::other(format!("it has more than {} KiB", largest >> 10)));
    }
    Ok(bytes)
}

/// Where the signature of a component is.
pub fn signature_of(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

fn check_signature(component: &Path, bytes: &[u8], trust: &[PublicKey]) -> Result<(), String> {
    let file = signature_of(component);
    let text = read_file(&file, LARGEST_SIGNATURE)
        .and_then(|text| String::from_utf8(text).map_err(io::Error::other))
        .map_err(|error| format!("could not read {}: {error}", file.display()))?;
    let signature = Signature::decode(&text).map_err(|error| format!("{}: {error}", file.display()))?;
    match trust.iter().any(|key| key.verify(bytes, &signature, true).is_ok()) {
        true => Ok(()),
        false => Err("the signature is of other bytes, or by another key".to_owned()),
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
