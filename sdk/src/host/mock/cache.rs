//! `cache`, as the gateway has it, on a clock that a test moves.

use std::collections::BTreeMap;

use super::current;

const KEY: usize = 1024;
const ENTRY: usize = 128;

#[derive(Debug)]
pub(crate) struct Cache {
    /// In bytes.
    pub(crate) size: usize,
    entries: BTreeMap<String, Entry>,
    /// Counts uses, to know which was the last.
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    ends_ms: Option<u64>,
    used: u64,
}

impl Cache {
    pub(crate) const fn new() -> Self {
        Cache { size: 16 << 20, entries: BTreeMap::new(), uses: 0 }
    }

    pub(crate) fn get(&mut self, key: &str, now_ms: u64) -> Option<Vec<u8>> {
        self.uses += 1;
        let entry =
            self.entries.get_mut(key).filter(|entry| entry.ends_ms.is_none_or(|ends| ends > now_ms))?;
        entry.used = self.uses;
        Some(entry.value.clone())
    }

    pub(crate) fn put(&mut self, key: &str, value: &[u8], ttl_ms: u64, now_ms: u64) -> bool {
        if key.len() > KEY || key.len() + value.len() + ENTRY > self.size {
            return false;
        }
        self.uses += 1;
        let ends_ms = (ttl_ms > 0).then(|| now_ms.saturating_add(ttl_ms));
        self.entries.insert(key.into(), Entry { value: value.to_vec(), ends_ms, used: self.uses });
        while self.weight() > self.size {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            oldest.map(|key| self.entries.remove(&key));
        }
        true
    }

    fn weight(&self) -> usize {
        self.entries.iter().map(|(key, entry)| key.len() + entry.value.len() + ENTRY).sum()
    }
}

pub(crate) fn get(key: &str) -> Option<Vec<u8>> {
    current(|process, _| process.cache.get(key, process.counters.now_ms))
}

pub(crate) fn put(key: &str, value: &[u8], ttl_ms: u64) -> bool {
    current(|process, _| process.cache.put(key, value, ttl_ms, process.counters.now_ms))
}

pub(crate) fn add(key: &str, value: &[u8], ttl_ms: u64) -> bool {
    get(key).is_none() && put(key, value, ttl_ms)
}

pub(crate) fn remove(key: &str) {
    current(|process, _| process.cache.entries.remove(key));
}
