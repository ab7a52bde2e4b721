//! What the gateway counts: by OpenTelemetry's names, as text for Prometheus.
//!
//! Every worker has meters of its own, which it finds by the number of a route or upstream and adds to
//! without a lock; a scrape adds the workers up. They outlive reloads by name, so that they never go back.
//! What happens rarely is counted where it happens, by plain atomics, and read here.

mod caches;
mod calls;
mod cell;
mod decisions;
mod endpoints;
mod hooks;
mod key_sets;
mod listeners;
mod plugins;
mod policies;
mod render;
mod series;
mod shared;
mod text;
mod upstreams;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::snapshot::Snapshot;

use cell::Cell;
use decisions::Decisions;
use hooks::{HookTimes, Sampling};
pub use render::render;
use series::{ClientSeries, SeriesList, ServerSeries};
pub use series::{KnownMethod, Labels, Scheme};
pub use text::Format;

/// What the gateway counts, for as long as the process lives.
#[derive(Default)]
pub struct Metrics {
    workers: Mutex<Vec<Arc<WorkerMeters>>>,
}

/// What one worker counts.
#[derive(Default)]
pub struct WorkerMeters {
    /// Exchanges under way, by method and scheme.
    active: [[Cell; Scheme::ALL.len()]; KnownMethod::ALL.len()],
    /// Looked into by a reload and by a scrape, and not by requests.
    named: Mutex<Named>,
}

#[derive(Default)]
struct Named {
    routes: BTreeMap<RouteName, Arc<RouteMeters>>,
    upstreams: BTreeMap<String, Arc<UpstreamMeters>>,
}

/// What a route is called in metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct RouteName {
    name: String,
    /// Its pattern; empty for what matched no route.
    path: String,
}

/// The exchanges of one route at one worker, and what its policies decided.
#[derive(Default)]
pub struct RouteMeters {
    pub exchanges: SeriesList<ServerSeries>,
    /// What went on behind answers, for which no client waited.
    pub background: SeriesList<ClientSeries>,
    pub decisions: Decisions,
    pub hooks: HookTimes,
}

/// The attempts at one upstream by one worker.
pub type UpstreamMeters = SeriesList<ClientSeries>;

/// A worker's meters in the order of a snapshot.
pub struct Meters {
    worker: Arc<WorkerMeters>,
    routes: Vec<Arc<RouteMeters>>,
    unrouted: Arc<RouteMeters>,
    upstreams: Vec<Arc<UpstreamMeters>>,
    sampling: Sampling,
}

impl Metrics {
    /// The meters of one more worker.
    pub fn worker(&self) -> Arc<WorkerMeters> {
        let meters = Arc::new(WorkerMeters::default());
        lock(&self.workers).push(meters.clone());
        meters
    }
}

impl WorkerMeters {
    /// The meters for a snapshot that this worker enters. Those of routes and upstreams that are gone, and
    /// that nobody uses any more, are forgotten.
    pub fn enter(self: &Arc<Self>, snapshot: &Snapshot) -> Meters {
        let mut named = lock(&self.named);
        let unrouted = named.routes.entry(RouteName::default()).or_default().clone();
        let routes = snapshot.routes.iter().map(|route| {
            let name = RouteName { name: route.facts.name.clone(), path: route.path.clone() };
            named.routes.entry(name).or_default().clone()
        });
        let routes = routes.collect();
        let upstreams = snapshot.upstreams.iter();
        let upstreams = upstreams
            .map(|upstream| named.upstreams.entry(upstream.terms.name.clone()).or_default().clone())
            .collect();
        named.routes.retain(|_, meters| Arc::strong_count(meters) > 1);
        named.upstreams.retain(|_, meters| Arc::strong_count(meters) > 1);
        Meters { worker: self.clone(), routes, unrouted, upstreams, sampling: Sampling::default() }
    }

    fn active(&self, method: KnownMethod, scheme: Scheme) -> Option<&Cell> {
        self.active.get(method as usize)?.get(scheme as usize)
    }
}

impl Meters {
    /// An exchange begins.
    pub fn begin(&self, method: KnownMethod, scheme: Scheme) {
        self.worker.active(method, scheme).inspect(|active| active.add(1));
    }

    /// An exchange that [began](Self::begin) has ended.
    pub fn end(&self, method: KnownMethod, scheme: Scheme) {
        self.worker.active(method, scheme).inspect(|active| active.subtract(1));
    }

    /// Whether the hooks of the exchange that begins now are to be timed.
    pub fn times_hooks(&self) -> bool {
        self.sampling.next()
    }

    /// The meters of the route of this number; those of requests that matched none.
    pub fn route(&self, number: Option<usize>) -> &RouteMeters {
        number.and_then(|number| self.routes.get(number)).unwrap_or(&self.unrouted)
    }

    pub fn upstream(&self, number: usize) -> Option<&Arc<UpstreamMeters>> {
        self.upstreams.get(number)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
