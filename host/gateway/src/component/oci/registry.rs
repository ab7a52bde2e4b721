//! An OCI registry (distribution specification), and what was kept of it.

use limen_config::{Digest, Reference, Registry};
use limen_policy::vault::Vault;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::credentials::Credentials;
use super::session::Session;
use super::{Failure, Kind, LARGEST_MANIFEST, Source, Wanted, pull};
use crate::component::Content;
use crate::component::kept::Kept;

/// What manifests may be.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                         application/vnd.docker.distribution.manifest.v2+json, \
                         application/vnd.docker.distribution.manifest.list.v2+json";
const BLOBS: &str = "application/octet-stream, */*";

/// What a reference names, from what was kept or from the registry.
pub async fn read(
    reference: &Reference,
    terms: &Registry,
    vault: &Vault,
    kept: &Kept,
) -> Result<Content, Failure> {
    let Some(digest) = reference.which.digest else {
        return Err(Failure::new("a tag may mean something else tomorrow: a digest is needed")
            .hint(format!("`limen policy inspect oci://{reference}` says which one it has now")));
    };
    let source = Repository { reference, terms, vault, kept, session: tokio::sync::OnceCell::new() };
    in_time(terms, pull(&source, digest, None)).await
}

/// The digest that a tag stands for now.
pub async fn resolve(reference: &Reference, terms: &Registry, vault: &Vault) -> Result<Digest, Failure> {
    if let Some(digest) = reference.which.digest {
        return Ok(digest);
    }
    let session = Session::new(terms, reference, Credentials::of(terms, vault)?)?;
    let path = format!("manifests/{}", reference.which.tag.as_deref().unwrap_or_default());
    let manifest = in_time(terms, session.get(&path, MANIFESTS, LARGEST_MANIFEST)).await?;
    Ok(Digest(Sha256::digest(&manifest).into()))
}

async fn in_time<T>(terms: &Registry, doing: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let late = |_| Failure::passing(format!("{}: not within its timeout, {:?}", terms.name, terms.timeout));
    timeout(terms.timeout, doing).await.map_err(late)?
}

/// One repository of a registry. Nothing is asked of it that was kept.
struct Repository<'a> {
    reference: &'a Reference,
    terms: &'a Registry,
    vault: &'a Vault,
    kept: &'a Kept,
    session: tokio::sync::OnceCell<Session<'a>>,
}

impl Source for Repository<'_> {
    async fn get(&self, kind: Kind, wanted: &Wanted) -> Result<Vec<u8>, Failure> {
        if let Some(bytes) = self.kept.get(&wanted.digest) {
            return Ok(bytes);
        }
        let session = self.session.get_or_try_init(async || {
            Session::new(self.terms, self.reference, Credentials::of(self.terms, self.vault)?)
        });
        let (path, accept) = match kind {
            Kind::Manifest => ("manifests", MANIFESTS),
            Kind::Blob => ("blobs", BLOBS),
        };
        session.await?.get(&format!("{path}/{}", wanted.digest), accept, wanted.limit()).await
    }

    fn keep(&self, wanted: &Wanted, bytes: &[u8]) {
        self.kept.put(&wanted.digest, bytes);
    }
}
