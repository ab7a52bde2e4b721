//! What the server was asked, and what came of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use redis::Value;

use super::Trouble;

/// What it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Concurrency,
    Kv,
    Quota,
    RateLimit,
    Records,
}

/// Upper bounds of how long answers take, in seconds. One on the same network takes less than a millisecond, and nobody
/// waits for longer than 10 s.
pub const BOUNDS: [f64; 13] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0];

/// What was counted of one use.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Answers by how long they took; not cumulative, and one more than there are bounds.
    pub answered: [u64; BOUNDS.len() + 1],
    /// What they took together.
    pub seconds: f64,
    /// The server did not do it, and said so.
    pub refused: u64,
    /// No answer in time, or the connection broke.
    pub unknown: u64,
    /// It was not sent, because the server does not answer.
    pub not_asked: u64,
}

/// All uses.
#[derive(Debug, Default)]
pub(super) struct Counts([OfUse; Use::ALL.len()]);

#[derive(Debug, Default)]
struct OfUse {
    answered: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    not_asked: AtomicU64,
}

impl Use {
    pub const ALL: [Use; 5] = [Use::Concurrency, Use::Kv, Use::Quota, Use::RateLimit, Use::Records];

    pub fn name(self) -> &'static str {
        match self {
            Use::Concurrency => "concurrency",
            Use::Kv => "kv",
            Use::Quota => "quota",
            Use::RateLimit => "rate-limit",
            Use::Records => "records",
        }
    }
}

impl Reading {
    pub(super) fn is_nothing(&self) -> bool {
        self.answered.iter().chain([&self.refused, &self.unknown, &self.not_asked]).all(|count| *count == 0)
    }
}

impl Counts {
    pub(super) fn note(&self, of: Use, came: &Result<Value, Trouble>, took: Duration) {
        let Some(counts) = self.0.get(of as usize) else { return };
        let one_more = match came {
            Ok(_) => {
                let seconds = took.as_secs_f64();
                let bucket = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
                let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                counts.nanos.fetch_add(nanos, Relaxed);
                counts.answered.get(bucket)
            }
            Err(Trouble::Refused(_)) => Some(&counts.refused),
            Err(Trouble::Unknown) => Some(&counts.unknown),
            Err(Trouble::NotAsked) => Some(&counts.not_asked),
        };
        if let Some(one_more) = one_more {
            one_more.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn read(&self, of: Use) -> Option<Reading> {
        let counts = self.0.get(of as usize)?;
        let read = |count: &AtomicU64| count.load(Relaxed);
        Some(Reading {
            answered: counts.answered.each_ref().map(read),
            seconds: Duration::from_nanos(read(&counts.nanos)).as_secs_f64(),
            refused: read(&counts.refused),
            unknown: read(&counts.unknown),
            not_asked: read(&counts.not_asked),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_has_its_own_counts() {
        let counts = Counts::default();
        counts.note(Use::Kv, &Ok(Value::Nil), Duration::from_micros(300));
        counts.note(Use::Kv, &Ok(Value::Nil), Duration::from_secs(11));
        counts.note(Use::Quota, &Err(Trouble::Unknown), Duration::ZERO);
        counts.note(Use::Quota, &Err(Trouble::NotAsked), Duration::ZERO);
        let kv = counts.read(Use::Kv).unwrap();
        assert_eq!((kv.answered[2], kv.answered[13], kv.refused), (1, 1, 0));
        assert!((kv.seconds - 11.0003).abs() < 1e-9);
        let quota = counts.read(Use::Quota).unwrap();
        assert_eq!((quota.unknown, quota.not_asked, quota.answered), (1, 1, [0; 14]));
        let is_nothing = Use::ALL.map(|of| counts.read(of).unwrap().is_nothing());
        assert_eq!(is_nothing, [true, false, false, true, true], "{:?}", Use::ALL);
    }
}
