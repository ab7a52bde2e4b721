//! What all workers share of an upstream. It outlives reloads: an upstream of the same name finds the
//! state of its endpoints again.
//!
//! Workers only read: one atomic load tells them that nothing has changed. What changes is put into a new
//! [`EndpointSet`] by who looks after the upstream (see `upkeep`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use limen_config::Upstream as Terms;
use tokio::sync::Notify;

use super::affinity::Cookies;
use super::balance::{Standing, Table};
use super::connect::Connector;
use super::endpoint::{Endpoint, Notice, Outcome};
use super::resilience::{self, Counted, Counts, Resilience};
use super::source::{Place, Source};

/// An upstream as the whole gateway sees it.
pub struct Shared {
    /// What the configuration says of it.
    pub terms: Terms,
    /// How its endpoints are connected to.
    pub connector: Arc<Connector>,
    /// Where it is served right now.
    endpoints: ArcSwap<EndpointSet>,
    /// Where its endpoints come from, one for each item of `endpoints`.
    sources: Mutex<Vec<Source>>,
    /// Something has happened that the next set may depend on.
    alarm: Arc<Notify>,
    resolutions: AtomicU64,
    failed_resolutions: AtomicU64,
    /// What it does about trouble; none if nothing is configured.
    pub(super) resilience: Option<Resilience>,
    pub(super) counts: Arc<Counts>,
}

/// The endpoints of an upstream at one moment.
#[derive(Default)]
pub struct EndpointSet {
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Which of them get requests, and how many.
    pub(super) table: Table,
    pub(super) cookies: Option<Cookies>,
    pub(super) alarm: Arc<Notify>,
}

impl Shared {
    /// `previous` is the upstream of this name in the snapshot before.
    pub fn new(terms: &Terms, connector: Arc<Connector>, previous: Option<&Shared>) -> Self {
        let known = previous.map(|previous| previous.sources().clone()).unwrap_or_default();
        let sources = terms.endpoints.iter().map(|endpoint| Source::new(endpoint, &known)).collect();
        let counter = |of: fn(&Shared) -> u64| AtomicU64::new(previous.map_or(0, of));
        let shared = Shared {
            terms: terms.clone(),
            connector,
            endpoints: ArcSwap::default(),
            sources: Mutex::new(sources),
            alarm: Arc::default(),
            resolutions: counter(Shared::resolutions),
            failed_resolutions: counter(Shared::failed_resolutions),
            resilience: Resilience::new(terms, previous.and_then(|previous| previous.resilience.as_ref())),
            counts: previous.map(|previous| previous.counts.clone()).unwrap_or_default(),
        };
        // Requests find the addresses that are known without having to wait for anybody.
        let known = previous.map(Shared::endpoints);
        shared.renew(known.as_deref(), Instant::now());
        shared
    }

    /// What happened to its requests since the gateway was started, and how it is now.
    pub fn resilience(&self) -> (Counted, resilience::Standing) {
        (self.counts.read(), self.resilience.as_ref().map(Resilience::standing).unwrap_or_default())
    }

    /// Its endpoints as they are now.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.endpoints.load_full()
    }

    /// Whether these still are its endpoints.
    pub fn is_current(&self, set: &Arc<EndpointSet>) -> bool {
        Arc::ptr_eq(&self.endpoints.load(), set)
    }

    /// How often its names were resolved.
    pub fn resolutions(&self) -> u64 {
        self.resolutions.load(Ordering::Relaxed)
    }

    /// How often one of its names could not be resolved.
    pub fn failed_resolutions(&self) -> u64 {
        self.failed_resolutions.load(Ordering::Relaxed)
    }

    /// Makes the set of this moment, if it is another. Answers when to look again though nothing happens.
    pub(super) fn refresh(&self, now: Instant) -> Option<Instant> {
        let known = self.endpoints();
        self.renew(Some(&known), now)
    }

    /// `known` are the endpoints whose state is kept; without any, this is the beginning.
    fn renew(&self, known: Option<&EndpointSet>, now: Instant) -> Option<Instant> {
        let Terms { slow_start, .. } = self.terms;
        let places = self.places();
        let mut endpoints: Vec<Arc<Endpoint>> = Vec::with_capacity(places.len());
        let mut standings = Vec::with_capacity(places.len());
        let mut changes_at = None;
        for Place { address, weight, priority } in places {
            let is_here = |endpoint: &&Arc<Endpoint>| endpoint.address == address;
            if endpoints.iter().any(|endpoint| is_here(&endpoint)) {
                continue;
            }
            let endpoint = match known {
                Some(known) => known.endpoints.iter().find(is_here).cloned(),
                None => Some(Arc::new(Endpoint::first(address.clone()))),
            };
            let endpoint = endpoint.unwrap_or_else(|| Arc::new(Endpoint::new(address)));
            let mut state = endpoint.state();
            let healthy = state.is_well(&self.terms, now);
            let warmth = state.warm_up(healthy, slow_start, now);
            changes_at = changes_at.into_iter().chain(state.changes_at(slow_start, now)).min();
            drop(state);
            standings.push(Standing { weight, priority, healthy, warmth });
            endpoints.push(endpoint);
        }
        let table = Table::new(&self.terms, &endpoints, &standings);
        let current = self.endpoints.load();
        let is_same = current.table == table
            && current.endpoints.len() == endpoints.len()
            && current.endpoints.iter().zip(&endpoints).all(|(one, other)| one.id == other.id);
        if !is_same {
            let affinity = self.terms.affinity.as_ref();
            let addresses = endpoints.iter().map(|endpoint| &endpoint.address);
            let cookies = affinity.map(|terms| Cookies::new(terms, &self.terms.name, addresses));
            let alarm = self.alarm.clone();
            self.endpoints.store(Arc::new(EndpointSet { endpoints, table, cookies, alarm }));
        }
        changes_at
    }

    /// Ejects what has failed too often, as far as that is allowed.
    pub(super) fn judge(&self, now: Instant) {
        let Some(outlier) = &self.terms.outlier else { return };
        let set = self.endpoints();
        let count = set.endpoints.len();
        let most = (count * outlier.max_ejected / 100).max(1).min(count.saturating_sub(1));
        let mut ejected = set.endpoints.iter().filter(|endpoint| endpoint.state().is_ejected(now)).count();
        for endpoint in set.endpoints.iter().filter(|endpoint| endpoint.is_suspect(outlier)) {
            let mut state = endpoint.state();
            if state.is_ejected(now) {
                // A straggler from before.
                endpoint.forgive();
            } else if ejected < most {
                let length = state.eject(outlier, now);
                endpoint.forgive();
                endpoint.count_ejection();
                ejected += 1;
                let upstream = self.terms.name.as_str();
                tracing::warn!(upstream, endpoint = %endpoint.address, "ejected for {length:?}: too many failures in a row");
            }
        }
    }

    /// Calls who looks after it.
    pub(super) fn alarm(&self) {
        self.alarm.notify_one();
    }

    /// Waits for a call.
    pub(super) async fn alarmed(&self) {
        self.alarm.notified().await;
    }

    pub(super) fn count_resolution(&self, succeeded: bool) {
        let counter = if succeeded { &self.resolutions } else { &self.failed_resolutions };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sources(&self) -> MutexGuard<'_, Vec<Source>> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All addresses that its sources have.
    fn places(&self) -> Vec<Place> {
        self.sources().iter().flat_map(|source| source.places.iter().cloned()).collect()
    }
}

impl EndpointSet {
    /// Takes the outcome of a request at the endpoint of this number.
    pub(super) fn note(&self, endpoint: &Endpoint, outcome: Outcome) {
        if let Some(limits) = self.table.outlier()
            && endpoint.note(outcome, limits) == Notice::Suspect
        {
            self.alarm.notify_one();
        }
    }
}
