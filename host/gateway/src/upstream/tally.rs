//! What has become of the connections to an endpoint, counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::failure::FailureKind;
use super::resilience::Permit;

/// The counts of one worker. Only it writes them, so that no other waits for the cache line; whoever
/// wants to know adds up those of all workers.
#[derive(Default)]
pub struct Tally {
    open: AtomicU64,
    made: AtomicU64,
    reused: AtomicU64,
    failed: AtomicU64,
    tls_failed: AtomicU64,
}

/// The counts of all workers, since the gateway first knew the endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionCounts {
    /// Connections that are open now.
    pub open: u64,
    /// Connections made.
    pub made: u64,
    /// Requests that found one already made.
    pub reused: u64,
    /// Connections that could not be made, TLS handshakes included.
    pub failed: u64,
    /// TLS handshakes that failed.
    pub tls_failed: u64,
}

/// All workers' tallies of one endpoint.
#[derive(Default)]
pub struct Tallies(Mutex<AllTallies>);

#[derive(Default)]
struct AllTallies {
    live: Vec<Arc<Tally>>,
    /// Of workers that have no connections to it any more.
    gone: ConnectionCounts,
}

/// A connection that is open: counted as long as this is held.
pub struct Open {
    tally: Arc<Tally>,
    /// Where the number of connections is limited.
    _slot: Option<Permit>,
}

impl Tally {
    pub fn open(self: &Arc<Self>, slot: Option<Permit>) -> Open {
        add(&self.open, 1);
        Open { tally: self.clone(), _slot: slot }
    }

    pub fn made(&self) {
        add(&self.made, 1);
    }

    pub fn reused(&self) {
        add(&self.reused, 1);
    }

    pub fn failed(&self, kind: FailureKind) {
        add(&self.failed, 1);
        if kind == FailureKind::Tls {
            add(&self.tls_failed, 1);
        }
    }

    fn counts(&self) -> ConnectionCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ConnectionCounts {
            open: read(&self.open),
            made: read(&self.made),
            reused: read(&self.reused),
            failed: read(&self.failed),
            tls_failed: read(&self.tls_failed),
        }
    }
}

impl Tallies {
    /// One more, for a worker that begins to connect.
    pub fn begin(&self) -> Arc<Tally> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let AllTallies { live, gone } = &mut *all;
        live.retain(|tally| {
            let is_live = Arc::strong_count(tally) > 1;
            if !is_live {
                *gone = gone.plus(tally.counts());
            }
            is_live
        });
        let tally = Arc::<Tally>::default();
        live.push(tally.clone());
        tally
    }

    pub fn counts(&self) -> ConnectionCounts {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.live.iter().fold(all.gone, |sum, tally| sum.plus(tally.counts()))
    }
}

impl ConnectionCounts {
    fn plus(self, other: ConnectionCounts) -> ConnectionCounts {
        ConnectionCounts {
            open: self.open + other.open,
            made: self.made + other.made,
            reused: self.reused + other.reused,
            failed: self.failed + other.failed,
            tls_failed: self.tls_failed + other.tls_failed,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let open = &self.tally.open;
        open.store(open.load(Ordering::Relaxed).saturating_sub(1), Ordering::Relaxed);
    }
}

/// Its worker alone writes it: what is read is still there when it is written.
fn add(count: &AtomicU64, more: u64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
