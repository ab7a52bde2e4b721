//! Counters of the gateway process, shared by every isolate of the plugin. Needs the grant
//! `counters = true`.
//!
//! Keys are the plugin's own; at most 100,000 are kept. What a failing hook did with them is not
//! undone. Each function costs one crossing and none waits.

use std::time::Duration;

use crate::host;

/// Add to a counter and answer its new value. It starts at 0 and ends `ttl` after it started; a `ttl` of
/// zero never ends.
pub fn incr(key: &str, delta: i64, ttl: Duration) -> i64 {
    host::counters::incr(key, delta, millis(ttl))
}

/// The value of a counter that has not ended.
pub fn get(key: &str) -> Option<i64> {
    host::counters::get(key)
}

/// A rate: so much in a period, spread evenly (GCRA), and a burst on top.
///
/// ```no_run
/// # use limen::{counters::Limit, prelude::*};
/// # fn hook(client: &str) -> Result<Flow> {
/// let taken = Limit::per_second(10).burst(20).take(client, 1);
/// if !taken.allowed {
///     return Ok(Reply::from(429).header("retry-after", taken.retry_after_seconds().to_string()).into());
/// }
/// # Ok(Flow::Next)
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How much may be taken in a period. 0 allows nothing.
    pub limit: u64,
    /// The period; counted in milliseconds. 0 allows nothing.
    pub period: Duration,
    /// How much may be taken at once, on top of one.
    pub burst: u64,
}

impl Limit {
    /// So much in this period, spread evenly, and no burst: one, and the next when its share of the period is over.
    /// [`burst`](Self::burst) lets more of it be taken at once; that much comes on top in the first period.
    pub const fn new(limit: u64, period: Duration) -> Self {
        Limit { limit, period, burst: 0 }
    }

    /// So much a second, spread evenly, and no burst: of 10, one each 100 ms.
    pub const fn per_second(limit: u64) -> Self {
        Limit::new(limit, Duration::from_secs(1))
    }

    /// So much a minute, spread evenly, and no burst: of 5, one each 12 s.
    pub const fn per_minute(limit: u64) -> Self {
        Limit::new(limit, Duration::from_secs(60))
    }

    /// Allow so much at once, on top of one.
    pub const fn burst(self, burst: u64) -> Self {
        Limit { burst, ..self }
    }

    /// The whole decision: charge the key if the cost is within the limit.
    pub fn take(&self, key: &str, cost: u64) -> Taken {
        host::counters::take(key, cost, self.limit, millis(self.period), self.burst)
    }

    /// Charge afterwards what only the answer told. May go into debt.
    pub fn charge(&self, key: &str, cost: u64) {
        host::counters::charge(key, cost, self.limit, millis(self.period), self.burst);
    }
}

/// The answer of [`Limit::take`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether the cost was within the limit, and so was charged.
    pub allowed: bool,
    /// What could be taken at once after this.
    pub remaining: u64,
    /// When the same cost would be allowed, in milliseconds; 0 if it was, `u64::MAX` if never.
    pub retry_after_ms: u64,
}

impl Taken {
    /// [`retry_after_ms`](Self::retry_after_ms) in whole seconds, rounded up, as the header `retry-after` wants it.
    pub const fn retry_after_seconds(&self) -> u64 {
        self.retry_after_ms.div_ceil(1000)
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
