//! An OCI image layout: a folder with an index and blobs.

use std::path::{Path, PathBuf};

use limen_config::{Digest, Which};

use super::manifest::{self, Descriptor, Document};
use super::{Failure, Kind, LARGEST_MANIFEST, Source, Wanted, pull};
use crate::component::{Content, file};

/// What is asked of a layout, from disk.
pub async fn read(folder: &Path, which: &Which) -> Result<Content, Failure> {
    let layout = Layout { folder };
    match (which.digest, &which.tag) {
        (Some(digest), _) => pull(&layout, digest, None).await,
        (None, tag) => {
            let index = layout.index()?;
            let Descriptor { digest, size, .. } = match tag {
                Some(tag) => manifest::tagged(&index, tag)?,
                None => manifest::the_one(&index)?,
            };
            pull(&layout, manifest::digest(digest)?, Some(*size)).await
        }
    }
}

/// What changes in a layout when its tags change, or blobs come.
pub fn files(folder: &Path) -> [PathBuf; 2] {
    [folder.join(INDEX), folder.join(BLOBS)]
}

const INDEX: &str = "index.json";
const BLOBS: &str = "blobs/sha256";

struct Layout<'a> {
    folder: &'a Path,
}

impl Layout<'_> {
    fn index(&self) -> Result<Vec<Descriptor>, Failure> {
        let path = self.folder.join(INDEX);
        let bytes = file::read(&path, LARGEST_MANIFEST).map_err(|error| {
            Failure::new(format!("could not read {}: {error}", path.display()))
                .hint("an OCI image layout is a folder with `oci-layout`, `index.json` and `blobs`")
        })?;
        match Document::parse(&bytes)? {
            Document::Index(manifests) => Ok(manifests),
            Document::Manifest(_) => Err(Failure::new(format!("{} is no index", path.display()))),
        }
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.folder.join(BLOBS).join(digest.hex())
    }
}

impl Source for Layout<'_> {
    async fn get(&self, _: Kind, wanted: &Wanted) -> Result<Vec<u8>, Failure> {
        let path = self.blob(&wanted.digest);
        file::read(&path, wanted.limit())
            .map_err(|error| Failure::new(format!("could not read {}: {error}", path.display())))
    }

    fn keep(&self, _: &Wanted, _: &[u8]) {}
}
