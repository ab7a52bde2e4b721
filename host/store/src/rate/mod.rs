//! Rates: so much in a period, and some of it at once (GCRA, the generic cell rate algorithm).
//!
//! All that is kept of one key is a time, its arrival: when it will have paid for what it took, at the pace of
//! the rate. Each unit of cost moves it on; what lies further ahead of now than the burst allows is refused. So
//! in any stretch of time T no more passes than `burst + limit * T / period`.

mod buckets;
pub(crate) mod shards;

use std::time::Duration;

pub use buckets::{Buckets, KeyHasher, KeySeeds};

/// The most rates that are looked at together.
pub const MAX_WANTS: usize = 8;

/// How fast, and how far ahead of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds that one unit of cost takes. Rounded up, so that no more passes than is allowed.
    pub(crate) interval: u64,
    /// Nanoseconds that an arrival may be ahead.
    pub(crate) tolerance: u64,
}

/// What taking from a rate would come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub allowed: bool,
    /// The arrival once it is taken.
    pub next: u64,
    /// Nanoseconds until it is allowed; none: never, it costs more than the burst.
    pub wait: Option<u64>,
}

/// What is asked of one rate.
#[derive(Clone, Copy, Debug)]
pub struct Want {
    pub key: u128,
    pub rate: Rate,
}

/// What taking from several rates at once came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// All of them allow it; else nothing was taken from any.
    pub allowed: bool,
    /// One for each.
    pub levels: Vec<Level>,
}

/// Where a rate stands now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    pub allowed: bool,
    /// Units of cost that would be allowed at once.
    pub remaining: u64,
    /// Until all of the burst is there again.
    pub full: Duration,
    /// Until what was refused would be allowed; none: never.
    pub wait: Option<Duration>,
}

impl Rate {
    /// None: nothing would ever be allowed.
    pub fn new(limit: u64, period: Duration, burst: u64) -> Option<Rate> {
        let period = nanos(period);
        if limit == 0 || period == 0 || burst == 0 {
            return None;
        }
        let interval = period.div_ceil(limit);
        Some(Rate { interval, tolerance: interval.saturating_mul(burst) })
    }

    /// What taking comes to. `arrival` is not before `now`.
    pub fn step(self, arrival: u64, now: u64, cost: u64) -> Step {
        let charge = self.interval.saturating_mul(cost);
        let next = arrival.saturating_add(charge);
        let ahead = next.saturating_sub(now);
        let wait = ahead.saturating_sub(self.tolerance);
        Step { allowed: wait == 0, next, wait: (charge <= self.tolerance).then_some(wait) }
    }

    /// Units of cost that would be allowed at once.
    pub fn remaining(self, arrival: u64, now: u64) -> u64 {
        self.tolerance.saturating_sub(arrival.saturating_sub(now)) / self.interval
    }
}

pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_faster_than_the_limit() {
        let third = Rate::new(3, Duration::from_secs(1), 3).unwrap();
        let (mut arrival, mut passed) = (0, 0);
        for now in (0..10_000_000_000).step_by(1_000_000) {
            let step = third.step(arrival.max(now), now, 1);
            if step.allowed {
                (arrival, passed) = (step.next, passed + 1);
            }
        }
        assert_eq!(passed, 32, "three at once and three a second, the last of them a moment too late");
        assert_eq!(Rate::new(0, Duration::from_secs(1), 1), None);
        assert_eq!(Rate::new(1, Duration::ZERO, 1), None);
        assert_eq!(Rate::new(1, Duration::from_secs(1), 0), None);
    }

    #[test]
    fn it_says_how_long_to_wait() {
        let rate = Rate::new(1, Duration::from_secs(1), 2).unwrap();
        let spent = rate.step(0, 0, 2).next;
        let second = 1_000_000_000;
        assert_eq!(rate.step(spent, 0, 1), Step { allowed: false, next: 3 * second, wait: Some(second) });
        assert_eq!(rate.step(spent, 0, 3).wait, None);
        assert_eq!((rate.remaining(0, 0), rate.remaining(spent, 0)), (2, 0));
    }
}
