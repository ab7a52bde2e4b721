//! An OCI registry (distribution specification), and what was kept of it.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use limen_config::{Digest, Reference, Registry};
use limen_policy::vault::Vault;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Notify, OnceCell, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

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
/// How many components are got of one registry at a time.
const PARALLEL: usize = 4;
/// How often it is told how much of a component there is.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// One registry, while a configuration is loaded: all that is wanted of it shares its timeout, so that whoever loads
/// waits for it once and not for each component.
pub struct Lane {
    terms: Registry,
    until: Instant,
    places: Semaphore,
    /// Who has been answered, and is not done after this, lets the next one begin.
    share: Duration,
}

impl Lane {
    /// For so many components. It has its timeout from now on.
    pub fn new(terms: Registry, components: usize) -> Self {
        let rounds = components.div_ceil(PARALLEL).max(1);
        let share = terms.timeout / u32::try_from(rounds).unwrap_or(u32::MAX);
        Lane { until: Instant::now() + terms.timeout, places: Semaphore::new(PARALLEL), share, terms }
    }

    fn late(&self) -> Failure {
        Failure::passing(format!("{}: not within its timeout, {:?}", self.terms.name, self.terms.timeout))
    }

    fn not_asked(&self) -> Failure {
        let what = format!("{}: it has just left another plugin waiting for too long", self.terms.name);
        Failure::passing(what)
    }
}

/// What a reference names, from what was kept or from its registry. Now and then `told` how much of the component came,
/// and of how much.
pub async fn read(
    reference: &Reference,
    lane: &Lane,
    vault: &Vault,
    kept: &Kept,
    told: &dyn Fn(u64, Option<u64>),
) -> Result<Content, Failure> {
    let Some(digest) = reference.which.digest else {
        return Err(Failure::new("a tag may mean something else tomorrow: a digest is needed")
            .hint(format!("`limen policy inspect oci://{reference}` says which one it has now")));
    };
    let source = Repository {
        reference,
        lane,
        vault,
        kept,
        told,
        last_told: Cell::new(None),
        session: OnceCell::new(),
        place: RefCell::default(),
        heard: Notify::new(),
    };
    tokio::select! {
        // What was kept takes no time.
        biased;
        pulled = pull(&source, digest, None) => pulled,
        () = sleep_until(lane.until) => Err(match source.session.initialized() {
            true => lane.late(),
            false => lane.not_asked(),
        }),
        never = source.make_room() => match never {},
    }
}

/// The digest that a tag stands for now.
pub async fn resolve(reference: &Reference, lane: &Lane, vault: &Vault) -> Result<Digest, Failure> {
    if let Some(digest) = reference.which.digest {
        return Ok(digest);
    }
    let session = Session::new(&lane.terms, reference, Credentials::of(&lane.terms, vault)?)?;
    let path = format!("manifests/{}", reference.which.tag.as_deref().unwrap_or_default());
    let manifest = timeout_at(lane.until, session.get(&path, MANIFESTS, LARGEST_MANIFEST, |_| {})).await;
    let manifest = manifest.map_err(|_| lane.late())??;
    Ok(Digest(Sha256::digest(&manifest).into()))
}

/// One repository of a registry. Nothing is asked of it that was kept.
struct Repository<'a> {
    reference: &'a Reference,
    lane: &'a Lane,
    vault: &'a Vault,
    kept: &'a Kept,
    told: &'a dyn Fn(u64, Option<u64>),
    last_told: Cell<Option<Instant>>,
    session: OnceCell<Session<'a>>,
    /// Among those that are got at a time, once anything has to be asked for.
    place: RefCell<Option<SemaphorePermit<'a>>>,
    /// Something came from it: then it is slow, and not silent.
    heard: Notify,
}

impl<'a> Repository<'a> {
    async fn begin(&self) -> Result<Session<'a>, Failure> {
        let Lane { terms, places, .. } = self.lane;
        let place = places.acquire().await.map_err(|_| self.lane.not_asked())?;
        // Those before it may have had all of the time.
        let left = self.lane.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.lane.not_asked());
        }
        self.place.replace(Some(place));
        // What is loaded waits for it: whoever looks on should know for what.
        tracing::info!("getting oci://{}, for {left:.0?} at most", self.reference);
        (self.told)(0, None);
        Session::new(terms, self.reference, Credentials::of(terms, self.vault)?)
    }

    /// One that takes long does not keep the others from being asked for; one that says nothing at all does.
    async fn make_room(&self) -> Infallible {
        self.heard.notified().await;
        sleep(self.lane.share).await;
        self.place.take();
        pending().await
    }

    /// So much came of a component that has so much.
    fn tell(&self, came: u64, size: Option<u64>) {
        let is_soon = self.last_told.get().is_some_and(|last| last.elapsed() < TELL_EVERY);
        if !is_soon || Some(came) == size {
            self.last_told.set(Some(Instant::now()));
            (self.told)(came, size);
        }
    }
}

impl Source for Repository<'_> {
    async fn get(&self, kind: Kind, wanted: &Wanted) -> Result<Vec<u8>, Failure> {
        if let Some(bytes) = self.kept.get(&wanted.digest) {
            return Ok(bytes);
        }
        let session = self.session.get_or_try_init(|| self.begin()).await?;
        let (path, accept) = match kind {
            Kind::Manifest => ("manifests", MANIFESTS),
            Kind::Component | Kind::Signature => ("blobs", BLOBS),
        };
        let came = |came| {
            if kind == Kind::Component {
                self.tell(came, wanted.size);
            }
        };
        let got = session.get(&format!("{path}/{}", wanted.digest), accept, wanted.limit(), came).await;
        self.heard.notify_one();
        got
    }

    fn keep(&self, wanted: &Wanted, bytes: &[u8]) {
        self.kept.put(&wanted.digest, bytes);
    }
}
