//! Components as OCI artifacts: an image manifest with a layer that is the component, in a layout on disk or
//! in a registry.
//!
//! Whatever a source answers is believed only as far as its digest goes: nothing is read, kept or used before
//! it was compared with the digest it was asked for by.

mod manifest;

pub mod layout;
pub mod registry;

mod challenge;
mod credentials;
mod session;

use limen_config::Digest;
use sha2::{Digest as _, Sha256};

use super::{Content, LARGEST, LARGEST_SIGNATURE};
pub use crate::client::Failure;
pub use manifest::{COMPONENT, SIGNATURE};
use manifest::{Descriptor, Document, Parts};

/// Manifests and indexes that are larger need not be taken by anybody (distribution specification).
const LARGEST_MANIFEST: u64 = 4 << 20;

/// Where blobs and manifests come from.
trait Source {
    /// The bytes of this digest, no more than its size; whether they are those, the caller looks after.
    async fn get(&self, kind: Kind, wanted: &Wanted) -> Result<Vec<u8>, Failure>;

    /// They are those.
    fn keep(&self, wanted: &Wanted, bytes: &[u8]);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Manifest,
    Component,
    Signature,
}

/// Content by its digest.
struct Wanted {
    digest: Digest,
    /// As somebody has said whom we believe; the least is 0.
    size: Option<u64>,
    /// More is not read.
    largest: u64,
}

/// The component that a manifest names, and its signature if it has one.
async fn pull(source: &impl Source, digest: Digest, size: Option<u64>) -> Result<Content, Failure> {
    let first = Wanted { digest, size, largest: LARGEST_MANIFEST };
    let mut layers = document(source, &first).await?;
    if let Document::Index(manifests) = &layers {
        let Descriptor { digest, size, .. } = manifest::the_one(manifests)?;
        let inner =
            Wanted { digest: manifest::digest(digest)?, size: Some(*size), largest: LARGEST_MANIFEST };
        layers = document(source, &inner).await?;
    }
    let Document::Manifest(layers) = layers else {
        return Err(Failure::new("its index leads to another index"));
    };
    let Parts { component, signature } = Parts::of(&layers)?;
    let component = blob(source, Kind::Component, component, LARGEST).await?;
    let signature = match signature {
        Some(signature) => Ok(blob(source, Kind::Signature, signature, LARGEST_SIGNATURE).await?),
        None => Err("no layer of its manifest is a signature".to_owned()),
    };
    Ok(Content { component, signature })
}

async fn document(source: &impl Source, wanted: &Wanted) -> Result<Document, Failure> {
    Document::parse(&get(source, Kind::Manifest, wanted).await?)
}

async fn blob(
    source: &impl Source,
    kind: Kind,
    layer: &Descriptor,
    largest: u64,
) -> Result<Vec<u8>, Failure> {
    let digest = manifest::digest(&layer.digest)?;
    get(source, kind, &Wanted { digest, size: Some(layer.size), largest }).await
}

async fn get(source: &impl Source, kind: Kind, wanted: &Wanted) -> Result<Vec<u8>, Failure> {
    let Wanted { digest, size, largest } = wanted;
    if size.is_some_and(|size| size > *largest) {
        return Err(Failure::new(format!("{} has more than {} KiB", digest.short(), largest >> 10)));
    }
    let bytes = source.get(kind, wanted).await?;
    if size.is_some_and(|size| size != bytes.len() as u64) {
        return Err(Failure::new(format!(
            "{} has {} bytes, and not as many as its manifest says",
            digest.short(),
            bytes.len()
        )));
    }
    let found = Digest(Sha256::digest(&bytes).into());
    if found != *digest {
        let (asked, found) = (digest.short(), found.short());
        return Err(Failure::new(format!("what came for {asked} is something else, {found}")));
    }
    source.keep(wanted, &bytes);
    Ok(bytes)
}

impl Wanted {
    /// How much to read of it.
    fn limit(&self) -> u64 {
        self.size.map_or(self.largest, |size| size.min(self.largest))
    }
}
