//! What happened that operators should see. All of it is rare, or the upstream is in trouble.

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of an upstream, since the gateway was started.
#[derive(Default)]
pub struct Counts {
    retries: AtomicU64,
    retries_refused: AtomicU64,
    hedges: AtomicU64,
    hedges_won: AtomicU64,
    timeouts: AtomicU64,
    queued: AtomicU64,
    overloaded: AtomicU64,
    turned_away: AtomicU64,
    fallbacks: AtomicU64,
}

/// Their values at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Requests that were sent again.
    pub retries: u64,
    /// Requests that were not sent again because the budget was spent.
    pub retries_refused: u64,
    /// Requests that were sent to one more endpoint because the first was slow.
    pub hedges: u64,
    /// Those of them whose answer was taken.
    pub hedges_won: u64,
    /// Tries that took longer than `first_byte`, `connect`, `per_try` or `total` lets.
    pub timeouts: u64,
    /// Requests that found as many under way as may be, whether they then had to wait or were refused.
    pub queued: u64,
    /// Requests that were refused because of `limits`, at once or after a while.
    pub overloaded: u64,
    /// Requests that were refused because the circuit breaker was open.
    pub turned_away: u64,
    /// Requests that the fallback answered.
    pub fallbacks: u64,
}

impl Counts {
    /// The values as they are now.
    pub fn read(&self) -> Counted {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counted {
            retries: read(&self.retries),
            retries_refused: read(&self.retries_refused),
            hedges: read(&self.hedges),
            hedges_won: read(&self.hedges_won),
            timeouts: read(&self.timeouts),
            queued: read(&self.queued),
            overloaded: read(&self.overloaded),
            turned_away: read(&self.turned_away),
            fallbacks: read(&self.fallbacks),
        }
    }

    pub(super) fn retried(&self) {
        up(&self.retries);
    }

    pub(super) fn retry_refused(&self) {
        up(&self.retries_refused);
    }

    pub(super) fn hedged(&self) {
        up(&self.hedges);
    }

    pub(super) fn hedge_won(&self) {
        up(&self.hedges_won);
    }

    pub fn timed_out(&self) {
        up(&self.timeouts);
    }

    pub(super) fn queued(&self) {
        up(&self.queued);
    }

    pub fn overloaded(&self) {
        up(&self.overloaded);
    }

    pub(super) fn turned_away(&self) {
        up(&self.turned_away);
    }

    pub(super) fn fell_back(&self) {
        up(&self.fallbacks);
    }
}

fn up(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}
