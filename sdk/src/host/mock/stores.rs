//! `kv`: the stores that a test has granted.

use std::collections::BTreeMap;

use crate::kv::KvError;

/// Bytes of a key and of a value.
const KEY: usize = 1024;
const VALUE: usize = 1024 * 1024;

/// By name. Time is that of the counters.
#[derive(Debug)]
pub(crate) struct Stores {
    pub(crate) granted: BTreeMap<String, Entries>,
    /// Names that the gateway has no store of; others it has, and has not granted.
    pub(crate) missing: Vec<String>,
}

/// Each value with its end; none: never.
pub(crate) type Entries = BTreeMap<String, (Vec<u8>, Option<u64>)>;

impl Stores {
    pub(crate) const fn new() -> Self {
        Stores { granted: BTreeMap::new(), missing: Vec::new() }
    }

    /// The entries of a store, without those that have ended.
    fn entries(&mut self, store: &str, now: u64) -> Result<&mut Entries, KvError> {
        let refused = match self.missing.iter().any(|missing| missing == store) {
            true => KvError::NoSuchStore,
            false => KvError::Denied,
        };
        let entries = self.granted.get_mut(store).ok_or(refused)?;
        entries.retain(|_, (_, ends)| ends.is_none_or(|ends| now < ends));
        Ok(entries)
    }
}

pub(crate) mod kv {
    use super::super::current;
    use super::{Entries, KEY, VALUE};
    use crate::kv::KvError;

    pub(crate) fn get(store: &str, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        within(store, |entries, _| Ok(entries.get(key).map(|(value, _)| value.clone())))
    }

    pub(crate) fn set(store: &str, key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), KvError> {
        check(key, value)?;
        within(store, |entries, now| {
            entries.insert(key.into(), (value.to_vec(), ends(now, ttl_ms)));
            Ok(())
        })
    }

    pub(crate) fn remove(store: &str, key: &str) -> Result<(), KvError> {
        within(store, |entries, _| {
            entries.remove(key);
            Ok(())
        })
    }

    pub(crate) fn incr(store: &str, key: &str, delta: i64, ttl_ms: Option<u64>) -> Result<i64, KvError> {
        check(key, &[])?;
        within(store, |entries, now| {
            let (number, ends) = match entries.get(key) {
                None => (0, ends(now, ttl_ms)),
                Some((value, ends)) => {
                    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    (number.ok_or(KvError::WrongType)?, *ends)
                }
            };
            let sum = i64::saturating_add(number, delta);
            entries.insert(key.into(), (sum.to_string().into_bytes(), ends));
            Ok(sum)
        })
    }

    pub(crate) fn swap(
        store: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl_ms: Option<u64>,
    ) -> Result<bool, KvError> {
        check(key, value)?;
        within(store, |entries, now| {
            let is_expected = entries.get(key).map(|(value, _)| value.as_slice()) == expected;
            if is_expected {
                entries.insert(key.into(), (value.to_vec(), ends(now, ttl_ms)));
            }
            Ok(is_expected)
        })
    }

    fn within<T>(
        store: &str,
        work: impl FnOnce(&mut Entries, u64) -> Result<T, KvError>,
    ) -> Result<T, KvError> {
        current(|process, _| {
            let now = process.counters.now_ms;
            work(process.stores.entries(store, now)?, now)
        })
    }

    fn check(key: &str, value: &[u8]) -> Result<(), KvError> {
        if key.len() <= KEY && value.len() <= VALUE { Ok(()) } else { Err(KvError::TooLarge) }
    }

    fn ends(now: u64, ttl_ms: Option<u64>) -> Option<u64> {
        ttl_ms.filter(|ttl| *ttl > 0).map(|ttl| now.saturating_add(ttl))
    }
}
