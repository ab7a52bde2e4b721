//! Counters of a mock gateway, on a clock that a test moves.

use std::collections::BTreeMap;

use crate::counters::Taken;

#[derive(Debug)]
pub(crate) struct Counters {
    pub(crate) now_ms: u64,
    values: BTreeMap<String, Value>,
    /// When each rate would be untouched again, in parts of a millisecond: `limit` to one.
    rates: BTreeMap<String, u128>,
}

#[derive(Debug)]
struct Value {
    count: i64,
    ends_ms: Option<u64>,
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Counters { now_ms: 0, values: BTreeMap::new(), rates: BTreeMap::new() }
    }

    pub(crate) fn incr(&mut self, key: &str, delta: i64, ttl_ms: u64) -> i64 {
        let now = self.now_ms;
        let ends_ms = (ttl_ms > 0).then(|| now.saturating_add(ttl_ms));
        let value = self.values.entry(key.into()).or_insert(Value { count: 0, ends_ms });
        if value.ended(now) {
            *value = Value { count: 0, ends_ms };
        }
        value.count = value.count.saturating_add(delta);
        value.count
    }

    pub(crate) fn get(&self, key: &str) -> Option<i64> {
        self.values.get(key).filter(|value| !value.ended(self.now_ms)).map(|value| value.count)
    }

    /// GCRA. A unit of cost takes `period / limit`; to keep whole numbers, time is counted in parts of
    /// a millisecond, `limit` of them to one, so that a unit takes `period_ms` parts.
    pub(crate) fn take(&mut self, key: &str, cost: u64, limit: u64, period_ms: u64, burst: u64) -> Taken {
        const NEVER: Taken = Taken { allowed: false, remaining: 0, retry_after_ms: u64::MAX };
        if limit == 0 || period_ms == 0 {
            return NEVER;
        }
        let (unit, room) = (u128::from(period_ms), u128::from(period_ms) * (u128::from(burst) + 1));
        let now = u128::from(self.now_ms) * u128::from(limit);
        let free = self.rates.get(key).copied().unwrap_or(0).max(now);
        let after = free + unit * u128::from(cost);
        let full = now + room;
        if after <= full {
            self.rates.insert(key.into(), after);
            return Taken { allowed: true, remaining: clamp((full - after) / unit), retry_after_ms: 0 };
        }
        if u128::from(cost) > u128::from(burst) + 1 {
            return Taken { remaining: clamp(full.saturating_sub(free) / unit), ..NEVER };
        }
        Taken {
            allowed: false,
            remaining: clamp(full.saturating_sub(free) / unit),
            retry_after_ms: clamp((after - full).div_ceil(u128::from(limit))),
        }
    }

    pub(crate) fn charge(&mut self, key: &str, cost: u64, limit: u64, period_ms: u64) {
        let now = u128::from(self.now_ms) * u128::from(limit);
        let free = self.rates.entry(key.into()).or_insert(now);
        *free = (*free).max(now) + u128::from(period_ms) * u128::from(cost);
    }
}

impl Value {
    fn ended(&self, now: u64) -> bool {
        self.ends_ms.is_some_and(|ends| ends <= now)
    }
}

fn clamp(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
