//! What operators can see of an upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::endpoint::Endpoint;
use super::shared::Shared;
use super::source::Inquiry;

pub use super::health::Condition;

/// How an endpoint is.
pub struct Status {
    pub endpoint: Arc<Endpoint>,
    pub condition: Condition,
    pub weight: u32,
    /// Its group; what a service announces stands below what is configured (times 65536).
    pub priority: u32,
    /// Whether it gets requests at the moment.
    pub is_used: bool,
}

impl Shared {
    /// How its endpoints are.
    pub fn status(&self) -> Vec<Status> {
        let (set, now) = (self.endpoints(), Instant::now());
        let is_checked = self.terms.health.is_some();
        let status = set.endpoints.iter().enumerate().map(|(number, endpoint)| Status {
            endpoint: endpoint.clone(),
            condition: endpoint.state().condition(is_checked, now),
            weight: set.table.weight(number),
            priority: set.table.priority(number),
            is_used: set.table.is_used(number),
        });
        status.collect()
    }

    /// Whether any of its endpoints is written as a name.
    pub fn has_names(&self) -> bool {
        self.sources().iter().any(|source| source.inquiry != Inquiry::Needless)
    }

    /// How many of its endpoints are healthy.
    pub fn healthy(&self) -> usize {
        self.status().iter().filter(|status| status.condition == Condition::Healthy).count()
    }
}

impl Endpoint {
    /// How often it was ejected.
    pub fn ejections(&self) -> u64 {
        read(&self.counts.ejections)
    }

    /// Checks that it passed.
    pub fn checks_passed(&self) -> u64 {
        read(&self.counts.checks_passed)
    }

    /// Checks that it failed.
    pub fn checks_failed(&self) -> u64 {
        read(&self.counts.checks_failed)
    }

    /// Its last check: nothing if it passed, or why not; none if there was none.
    pub fn last_check(&self) -> Option<Result<(), String>> {
        self.state().last_check().map(|check| check.result.clone())
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
