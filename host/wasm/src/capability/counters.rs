//! `counters`: numbers of this process that all workers and isolates of a plugin share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use limen_store::Rate;

use super::bindings::limen::policy::counters;
use super::bindings::limen::policy::counters::TakeResult;
use crate::state::State;

/// Keys of one plugin; beyond that ended ones and then arbitrary ones are dropped.
const MAX_KEYS: usize = 100_000;
/// Bytes of one key; the rest is ignored.
const MAX_KEY: usize = 1024;

/// All counters of the process, by plugin.
#[derive(Default)]
pub(crate) struct Counters(DashMap<String, Arc<Shelf>>);

/// The counters of one plugin.
pub(crate) struct Shelf {
    started: Instant,
    entries: DashMap<Box<str>, Entry>,
    count: AtomicUsize,
}

struct Entry {
    value: Value,
    /// Nanoseconds after the shelf's start; none: never.
    ends: Option<u64>,
}

#[derive(Clone, Copy)]
enum Value {
    Count(i64),
    /// GCRA's theoretical arrival time, in nanoseconds after the shelf's start.
    Arrival(u64),
}

impl Counters {
    /// Those of a plugin: they outlive its versions.
    pub(crate) fn of(&self, plugin: &str) -> Arc<Shelf> {
        self.0.entry(plugin.to_owned()).or_default().clone()
    }

    /// Whoever asks next begins at nothing.
    pub(crate) fn forget(&self) {
        self.0.clear();
    }
}

impl Default for Shelf {
    fn default() -> Self {
        Shelf { started: Instant::now(), entries: DashMap::new(), count: AtomicUsize::new(0) }
    }
}

impl Shelf {
    fn incr(&self, key: &str, delta: i64, ttl: u64) -> i64 {
        self.update(key, |value, now| {
            let ends = (ttl > 0).then(|| now.saturating_add(millis(ttl)));
            let (count, ends) = match value {
                Some((Value::Count(count), ends)) => (count.saturating_add(delta), ends),
                _ => (delta, ends),
            };
            (Value::Count(count), ends, count)
        })
    }

    fn get(&self, key: &str) -> Option<i64> {
        let entry = self.entries.get(key)?;
        match entry.value {
            Value::Count(count) if !entry.ended(self.now()) => Some(count),
            _ => None,
        }
    }

    /// Takes from a rate. `force` charges all the same.
    fn take(&self, key: &str, cost: u64, rate: Option<Rate>, force: bool) -> TakeResult {
        let Some(rate) = rate else {
            return TakeResult { allowed: false, remaining: 0, retry_after_ms: u64::MAX };
        };
        self.update(key, |value, now| {
            let arrival = match value {
                Some((Value::Arrival(arrival), _)) => arrival.max(now),
                _ => now,
            };
            let step = rate.step(arrival, now, cost);
            let kept = if step.allowed || force { step.next } else { arrival };
            let result = TakeResult {
                allowed: step.allowed,
                remaining: rate.remaining(kept, now),
                retry_after_ms: step.wait.map_or(u64::MAX, |wait| wait.div_ceil(1_000_000)),
            };
            (Value::Arrival(kept), Some(kept), result)
        })
    }

    /// Replaces the value of a key by what `change` makes of it, under the key's own lock. `change`
    /// is given none for a key that is absent or has ended, and the time that it is once the lock is
    /// held: what another worker wrote meanwhile must not lie in the future.
    fn update<R>(
        &self,
        key: &str,
        change: impl FnOnce(Option<(Value, Option<u64>)>, u64) -> (Value, Option<u64>, R),
    ) -> R {
        let key = key.get(..key.floor_char_boundary(MAX_KEY)).unwrap_or_default();
        if let Some(mut entry) = self.entries.get_mut(key) {
            let now = self.now();
            let old = (!entry.ended(now)).then_some((entry.value, entry.ends));
            let (value, ends, result) = change(old, now);
            *entry = Entry { value, ends };
            return result;
        }
        if self.count.load(Ordering::Relaxed) >= MAX_KEYS {
            self.make_room();
        }
        let mut new = false;
        let mut entry = self.entries.entry(key.into()).or_insert_with(|| {
            new = true;
            Entry { value: Value::Count(0), ends: Some(0) }
        });
        let now = self.now();
        let old = (!new && !entry.ended(now)).then_some((entry.value, entry.ends));
        let (value, ends, result) = change(old, now);
        *entry = Entry { value, ends };
        drop(entry);
        if new {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// Drops what has ended, and a tenth of the rest if that is too little.
    fn make_room(&self) {
        let now = self.now();
        self.entries.retain(|_, entry| !entry.ended(now));
        let mut surplus = self.entries.len().saturating_sub(MAX_KEYS - MAX_KEYS / 10);
        self.entries.retain(|_, _| {
            let keep = surplus == 0;
            surplus = surplus.saturating_sub(1);
            keep
        });
        self.count.store(self.entries.len(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Entry {
    fn ended(&self, now: u64) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

/// What the contract calls a burst comes on top of the one that is always allowed.
fn rate(limit: u64, period_ms: u64, burst: u64) -> Option<Rate> {
    Rate::new(limit, Duration::from_millis(period_ms), burst.saturating_add(1))
}

fn millis(ms: u64) -> u64 {
    u64::try_from(Duration::from_millis(ms).as_nanos()).unwrap_or(u64::MAX)
}

impl State {
    fn shelf(&self) -> &Shelf {
        &self.grounds.counters
    }
}

impl counters::Host for State {
    fn incr(&mut self, key: String, delta: i64, ttl_ms: u64) -> i64 {
        self.shelf().incr(&key, delta, ttl_ms)
    }

    fn get(&mut self, key: String) -> Option<i64> {
        self.shelf().get(&key)
    }

    fn take(&mut self, key: String, cost: u64, limit: u64, period_ms: u64, burst: u64) -> TakeResult {
        self.shelf().take(&key, cost, rate(limit, period_ms, burst), false)
    }

    fn charge(&mut self, key: String, cost: u64, limit: u64, period_ms: u64, burst: u64) {
        self.shelf().take(&key, cost, rate(limit, period_ms, burst), true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hourly() -> Option<Rate> {
        rate(1, 3_600_000, 4)
    }

    #[test]
    fn a_limit_is_exact_under_concurrency() {
        let shelf = Shelf::default();
        let allowed = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        if shelf.take("k", 1, hourly(), false).allowed {
                            allowed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(allowed.into_inner(), 5, "one at a time and a burst of four, in an hour");
    }

    #[test]
    fn take_says_what_is_left_and_when() {
        let shelf = Shelf::default();
        let first = shelf.take("k", 3, hourly(), false);
        assert!(first.allowed && first.remaining == 2 && first.retry_after_ms == 0);
        let second = shelf.take("k", 3, hourly(), false);
        assert!(!second.allowed && second.remaining == 2);
        assert!((3_590_000..=3_600_000).contains(&second.retry_after_ms), "{}", second.retry_after_ms);
        assert_eq!(shelf.take("k", 6, hourly(), false).retry_after_ms, u64::MAX);
        assert!(!shelf.take("z", 1, rate(0, 1, 9), false).allowed);
        assert!(!shelf.take("z", 1, rate(1, 0, 9), false).allowed);
    }

    #[test]
    fn a_charge_may_go_into_debt() {
        let shelf = Shelf::default();
        shelf.take("k", 10, hourly(), true);
        let after = shelf.take("k", 1, hourly(), false);
        assert!(!after.allowed && after.remaining == 0);
    }

    #[test]
    fn counters_end_and_extremes_do_not_overflow() {
        let shelf = Shelf::default();
        assert_eq!(shelf.incr("a", 2, 0), 2);
        assert_eq!(shelf.incr("a", i64::MAX, 0), i64::MAX);
        assert_eq!(shelf.get("a"), Some(i64::MAX));
        assert_eq!(shelf.get("b"), None);
        assert_eq!(shelf.incr("short", 1, 1), 1);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(shelf.get("short"), None);
        assert_eq!(shelf.incr("short", 1, u64::MAX), 1);
        let huge = rate(u64::MAX, u64::MAX, u64::MAX);
        shelf.take("huge", u64::MAX, huge, true);
    }

    #[test]
    fn keys_are_bounded() {
        let shelf = Shelf::default();
        for n in 0..MAX_KEYS + 10 {
            shelf.incr(&n.to_string(), 1, 0);
        }
        assert!(shelf.entries.len() <= MAX_KEYS);
        let long = "é".repeat(MAX_KEY);
        assert_eq!(shelf.incr(&long, 1, 0), 1);
        assert!(shelf.entries.iter().all(|entry| entry.key().len() <= MAX_KEY));
    }
}
