//! Looks after upstreams, once for the whole process: resolves names, checks endpoints, ejects those that
//! fail and lets them back in. A thread of its own, so that workers have no part in it.

use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use limen_config::{Health, Resolver as ResolverTerms};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};

use crate::thread::spawn;

use super::endpoint::{Endpoint, EndpointId};
use super::health::probe;
use super::resolve::Resolver;
use super::shared::Shared;
use super::source::{self, Inquiry};

/// New upstreams get no requests before their names are resolved and their endpoints checked, but for no
/// longer than this.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// Who looks after upstreams. The thread begins at the first order and ends with the last clone of this.
#[derive(Clone, Default)]
pub struct Upkeep(Arc<OnceLock<Option<UnboundedSender<Order>>>>);

/// From now on these, and no others.
struct Order {
    upstreams: Vec<Arc<Shared>>,
    resolver: ResolverTerms,
    /// Dropped when each of them has been looked at.
    looked: SyncSender<()>,
}

impl Upkeep {
    /// Looks after these from now on, and no longer after those of the last call. Returns when their names
    /// are resolved and their endpoints checked for the first time, or after some seconds.
    pub fn tend(&self, upstreams: &[Arc<Shared>], resolver: &ResolverTerms) {
        let upstreams: Vec<_> = upstreams.iter().filter(|shared| needs_care(shared)).cloned().collect();
        if upstreams.is_empty() && self.0.get().is_none() {
            return;
        }
        let Some(orders) = self.0.get_or_init(start) else { return };
        let (looked, done) = sync_channel(0);
        if orders.send(Order { upstreams, resolver: resolver.clone(), looked }).is_ok()
            && done.recv_timeout(FIRST_LOOK) == Err(RecvTimeoutError::Timeout)
        {
            tracing::warn!("some endpoints are not resolved or checked yet: going on without them");
        }
    }
}

fn needs_care(shared: &Shared) -> bool {
    let terms = &shared.terms;
    shared.has_names() || terms.health.is_some() || terms.outlier.is_some() || terms.slow_start.is_some()
}

fn start() -> Option<UnboundedSender<Order>> {
    let (orders, received) = unbounded_channel();
    let looking_after = move || {
        let options = tokio::runtime::LocalOptions::default();
        match tokio::runtime::Builder::new_current_thread().enable_all().build_local(options) {
            Ok(runtime) => runtime.block_on(follow(received)),
            Err(error) => tracing::error!("nobody looks after upstreams: {error}"),
        }
    };
    match spawn("limen-upkeep", looking_after) {
        Ok(_) => Some(orders),
        Err(error) => {
            tracing::error!("nobody looks after upstreams: {error}");
            None
        }
    }
}

/// Does what the last order says until there will be no more.
async fn follow(mut orders: UnboundedReceiver<Order>) {
    let mut tasks = JoinSet::new();
    while let Some(Order { upstreams, resolver, looked }) = orders.recv().await {
        // What they knew is in the upstreams themselves.
        tasks.abort_all();
        tasks = JoinSet::new();
        let needs_names = upstreams.iter().any(|shared| shared.has_names());
        let resolver = needs_names.then(|| Arc::new(Resolver::new(&resolver)));
        for shared in upstreams {
            tasks.spawn_local(tend(shared, resolver.clone(), looked.clone()));
        }
    }
}

/// Looks after one upstream. Does not end.
async fn tend(shared: Arc<Shared>, resolver: Option<Arc<Resolver>>, looked: SyncSender<()>) {
    let mut looked = Some(looked);
    let mut names = JoinSet::new();
    if let Some(resolver) = resolver {
        for number in 0..shared.terms.endpoints.len() {
            names.spawn_local(resolve(shared.clone(), number, resolver.clone()));
        }
    }
    let mut checks = HashMap::new();
    loop {
        let now = Instant::now();
        shared.judge(now);
        let again = shared.refresh(now);
        if let Some(health) = &shared.terms.health {
            check_all(&shared, health, &mut checks);
        }
        if looked.is_some() && has_been_looked_at(&shared) {
            looked = None;
        }
        let timer = async {
            match again {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.alarmed() => {}
            () = timer => {}
        }
    }
}

/// Whether every name was asked for, and every endpoint checked.
fn has_been_looked_at(shared: &Shared) -> bool {
    let is_checked = |endpoint: &Arc<Endpoint>| endpoint.state().last_check().is_some();
    shared.sources().iter().all(|source| source.inquiry != Inquiry::Begun)
        && (shared.terms.health.is_none() || shared.endpoints().endpoints.iter().all(is_checked))
}

/// Keeps what one name stands for up to date.
async fn resolve(shared: Arc<Shared>, number: usize, resolver: Arc<Resolver>) {
    loop {
        let Some(source) = shared.sources().get(number).cloned() else { return };
        let Some(at) = source.asks_at(Instant::now()) else { return };
        tokio::time::sleep_until(at.into()).await;
        let answer = source::look_up(&resolver, &source.terms, &source.places).await;
        shared.count_resolution(answer.is_ok());
        let (upstream, name) = (shared.terms.name.as_str(), source.terms.host.as_str());
        let now = Instant::now();
        if let Some(source) = shared.sources().get_mut(number) {
            match answer {
                Ok((places, ttl)) => {
                    if matches!(source.inquiry, Inquiry::Failed { .. }) {
                        tracing::info!(upstream, name, "resolved again");
                    }
                    source.answered(places, ttl, now);
                }
                Err(reason) => {
                    let kept = source.places.len();
                    if source.failed(resolver.min_ttl(), now) {
                        tracing::warn!(upstream, name, kept, "can't resolve: {reason}");
                    }
                }
            }
        }
        shared.alarm();
    }
}

/// A check that is under way as long as this is there.
struct Checking(JoinHandle<()>);

impl Drop for Checking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Checks each endpoint that is there now, and no other.
fn check_all(shared: &Arc<Shared>, health: &Health, checks: &mut HashMap<EndpointId, Checking>) {
    let set = shared.endpoints();
    checks.retain(|id, _| set.endpoints.iter().any(|endpoint| endpoint.id == *id));
    for endpoint in &set.endpoints {
        checks.entry(endpoint.id).or_insert_with(|| {
            let checking = check(shared.clone(), endpoint.clone(), health.clone());
            Checking(tokio::task::spawn_local(checking))
        });
    }
}

/// Checks one endpoint again and again.
async fn check(shared: Arc<Shared>, endpoint: Arc<Endpoint>, health: Health) {
    // After a reload, when it would have been its turn.
    let last = endpoint.state().last_check().map(|check| check.ended);
    if let Some(last) = last {
        tokio::time::sleep_until((last + health.interval).into()).await;
    }
    loop {
        let result = probe(&endpoint.address, &shared.connector, &health.probe, health.timeout).await;
        endpoint.count_check(&result);
        let (upstream, address) = (shared.terms.name.as_str(), &endpoint.address);
        let is_first = endpoint.state().last_check().is_none();
        let changed = endpoint.state().checked(result.clone(), &health, Instant::now());
        match result {
            Ok(()) if changed && !is_first => tracing::info!(upstream, endpoint = %address, "healthy again"),
            Err(reason) if changed => tracing::warn!(upstream, endpoint = %address, "unhealthy: {reason}"),
            _ => {}
        }
        if changed {
            shared.alarm();
        }
        tokio::time::sleep(wait(&health)).await;
    }
}

/// Not all at the same moment.
fn wait(health: &Health) -> Duration {
    health.interval + health.interval.mul_f64(health.jitter as f64 / 100.0 * fastrand::f64())
}
