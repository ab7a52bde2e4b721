//! The bytes of a plugin's component, if they are those that the operator wants.

mod file;

use std::io;
use std::path::{Path, PathBuf};

use limen_config::{Component, ConfigError, Plugin, PublicKey};
use minisign_verify::Signature;
use sha2::{Digest, Sha256};

/// A component that is larger is none: those of interpreted languages have some 20 MiB.
const LARGEST: u64 = 256 << 20;

/// A signature is four short lines.
const LARGEST_SIGNATURE: u64 = 64 << 10;

/// Reads a component. It is read once: what was checked is what will run.
pub fn read(plugin: &Plugin, trust: &[PublicKey]) -> Result<Vec<u8>, ConfigError> {
    let from = &plugin.component;
    let fault = |message: String| {
        ConfigError::new(plugin.place.clone(), format!("plugin `{}`: {message}", plugin.name))
    };
    let bytes =
        bytes(from).map_err(|error| fault(format!("could not read its component {from}: {error}")))?;
    if let Some(pinned) = plugin.sha256 {
        let found: [u8; 32] = Sha256::digest(&bytes).into();
        if found != pinned {
            return Err(fault(format!("its component {from} is not the one that `sha256` names"))
                .expected(hex(&pinned))
                .hint(format!("it is {}", hex(&found))));
        }
    }
    if !trust.is_empty() {
        check_signature(from, &bytes, trust).map_err(|reason| {
            fault(format!("its component {from} is not signed by a key of [gateway] trust: {reason}"))
                .hint(format!("`minisign -Sm {from}` with one of these keys makes its signature"))
        })?;
    }
    Ok(bytes)
}

fn bytes(component: &Component) -> io::Result<Vec<u8>> {
    match component {
        Component::File(path) => file::read(path, LARGEST),
        Component::Found(path) => file::settle(path).and_then(|()| file::read(path, LARGEST)),
    }
}

/// The files that a component is made of, so that a change of them is seen.
pub fn files(component: &Component, trust: &[PublicKey]) -> Vec<PathBuf> {
    match component {
        Component::File(path) | Component::Found(path) => {
            let signature = (!trust.is_empty()).then(|| signature_of(path));
            [path.clone()].into_iter().chain(signature).collect()
        }
    }
}

/// Where the signature of a component is.
fn signature_of(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

fn check_signature(component: &Component, bytes: &[u8], trust: &[PublicKey]) -> Result<(), String> {
    let (Component::File(path) | Component::Found(path)) = component;
    let file = signature_of(path);
    let text = file::read(&file, LARGEST_SIGNATURE)
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
