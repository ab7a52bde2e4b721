//! An OCI registry (distribution specification), and what was kept of it.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use limen_config::{Digest, Reference, Registry, RegistryName};
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

/// Registries that did not answer within their timeout: whoever loads waits for each of them once, and not for each
/// component that is wanted of it.
#[derive(Default)]
pub struct Silent(Mutex<BTreeSet<RegistryName>>);

/// What a reference names, from what was kept or from the registry.
pub async fn read(
    reference: &Reference,
    terms: &Registry,
    vault: &Vault,
    kept: &Kept,
    silent: &Silent,
) -> Result<Content, Failure> {
    let Some(digest) = reference.which.digest else {
        return Err(Failure::new("a tag may mean something else tomorrow: a digest is needed")
            .hint(format!("`limen policy inspect oci://{reference}` says which one it has now")));
    };
    let (session, heard) = (tokio::sync::OnceCell::new(), Cell::new(false));
    let source = Repository { reference, terms, vault, kept, silent, session, heard };
    let pulled = timeout(terms.timeout, pull(&source, digest, None)).await;
    pulled.unwrap_or_else(|_| {
        if !source.heard.get() {
            silent.note(&terms.name);
        }
        Err(late(terms))
    })
}

/// The digest that a tag stands for now.
pub async fn resolve(reference: &Reference, terms: &Registry, vault: &Vault) -> Result<Digest, Failure> {
    if let Some(digest) = reference.which.digest {
        return Ok(digest);
    }
    let session = Session::new(terms, reference, Credentials::of(terms, vault)?)?;
    let path = format!("manifests/{}", reference.which.tag.as_deref().unwrap_or_default());
    let manifest = timeout(terms.timeout, session.get(&path, MANIFESTS, LARGEST_MANIFEST)).await;
    let manifest = manifest.map_err(|_| late(terms))??;
    Ok(Digest(Sha256::digest(&manifest).into()))
}

fn late(terms: &Registry) -> Failure {
    Failure::passing(format!("{}: not within its timeout, {:?}", terms.name, terms.timeout))
}

impl Silent {
    fn note(&self, registry: &RegistryName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(registry.clone());
    }

    fn has(&self, registry: &RegistryName) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(registry)
    }
}

/// One repository of a registry. Nothing is asked of it that was kept.
struct Repository<'a> {
    reference: &'a Reference,
    terms: &'a Registry,
    vault: &'a Vault,
    kept: &'a Kept,
    silent: &'a Silent,
    session: tokio::sync::OnceCell<Session<'a>>,
    /// Whether anything came from it: then it is slow, and not silent.
    heard: Cell<bool>,
}

impl Source for Repository<'_> {
    async fn get(&self, kind: Kind, wanted: &Wanted) -> Result<Vec<u8>, Failure> {
        if let Some(bytes) = self.kept.get(&wanted.digest) {
            return Ok(bytes);
        }
        if self.silent.has(&self.terms.name) {
            let what = format!("{}: it has just left another plugin waiting for too long", self.terms.name);
            return Err(Failure::passing(what));
        }
        let session = self.session.get_or_try_init(async || {
            // What is loaded waits for it: whoever looks on should know for what.
            tracing::info!("getting oci://{}, for {:?} at most", self.reference, self.terms.timeout);
            Session::new(self.terms, self.reference, Credentials::of(self.terms, self.vault)?)
        });
        let (path, accept) = match kind {
            Kind::Manifest => ("manifests", MANIFESTS),
            Kind::Blob => ("blobs", BLOBS),
        };
        let got = session.await?.get(&format!("{path}/{}", wanted.digest), accept, wanted.limit()).await;
        self.heard.set(true);
        got
    }

    fn keep(&self, wanted: &Wanted, bytes: &[u8]) {
        self.kept.put(&wanted.digest, bytes);
    }
}
