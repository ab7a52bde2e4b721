//! What a plugin has used on a route, or in its ticks: always counted, by each worker for itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limen_policy::FailureKind;

use crate::pool::worker;

/// What one plugin has used on one route since the gateway started.
pub struct Account {
    plugin: String,
    /// None: beside all routes, in its ticks.
    route: Option<String>,
    /// One per worker, and one for the thread that ticks.
    tallies: Box<[Tally]>,
}

/// What one worker has counted, on cache lines of its own: it alone writes here.
#[repr(align(128))]
#[derive(Default)]
struct Tally {
    calls: AtomicU64,
    nanos: AtomicU64,
    made: AtomicU64,
    memory: AtomicU64,
    host_calls: AtomicU64,
    failures: [AtomicU64; FailureKind::ALL.len()],
}

/// All of an account, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Hooks that were asked.
    pub calls: u64,
    /// Computing time, that of host calls and of making isolates included.
    pub cpu: Duration,
    /// Isolates that were made, and not there already.
    pub isolates_made: u64,
    /// The largest memory of an isolate, in bytes.
    pub memory_peak: u64,
    /// Calls of the gateway by its hooks.
    pub host_calls: u64,
    /// Hooks that failed or were not asked, by kind, in the order of [`FailureKind::ALL`].
    pub failures: [u64; FailureKind::ALL.len()],
}

impl Account {
    pub(crate) fn new(plugin: &str, route: Option<&str>, workers: usize) -> Self {
        let tallies = (0..=workers).map(|_| Tally::default()).collect();
        Account { plugin: plugin.to_owned(), route: route.map(str::to_owned), tallies }
    }

    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// None: these are its ticks.
    pub fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    /// A hook was asked.
    pub(crate) fn called(&self, used: Duration, memory: u64, host_calls: u64) {
        let Some(tally) = self.tally() else { return };
        add(&tally.calls, 1);
        add(&tally.host_calls, host_calls);
        add(&tally.nanos, u64::try_from(used.as_nanos()).unwrap_or(u64::MAX));
        if memory > tally.memory.load(Ordering::Relaxed) {
            tally.memory.store(memory, Ordering::Relaxed);
        }
    }

    pub(crate) fn made_isolate(&self) {
        self.tally().inspect(|tally| add(&tally.made, 1));
    }

    /// A hook failed, or was not asked.
    pub(crate) fn failed(&self, kind: FailureKind) {
        self.tally().and_then(|tally| tally.failures.get(kind as usize)).inspect(|count| add(count, 1));
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for tally in &self.tallies {
            let get = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
            totals.calls += get(&tally.calls);
            totals.cpu += Duration::from_nanos(get(&tally.nanos));
            totals.isolates_made += get(&tally.made);
            totals.host_calls += get(&tally.host_calls);

            totals.memory_peak = totals.memory_peak.max(get(&tally.memory));
            totals.failures.iter_mut().zip(&tally.failures).for_each(|(sum, count)| *sum += get(count));
        }
        totals
    }

    fn tally(&self) -> Option<&Tally> {
        self.tallies.get(worker()?)
    }
}

impl Totals {
    /// Both together.
    #[must_use]
    pub fn and(mut self, other: Totals) -> Totals {
        self.calls += other.calls;
        self.cpu += other.cpu;
        self.isolates_made += other.isolates_made;
        self.memory_peak = self.memory_peak.max(other.memory_peak);
        self.host_calls += other.host_calls;
        self.failures.iter_mut().zip(other.failures).for_each(|(sum, count)| *sum += count);
        self
    }
}

/// Adds to what only this thread writes.
fn add(cell: &AtomicU64, more: u64) {
    cell.store(cell.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
