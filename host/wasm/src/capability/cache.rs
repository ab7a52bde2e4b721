//! `cache`: values that all isolates of a plugin keep for one another, within a bound.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::Expiry;
use moka::notification::RemovalCause;
use moka::ops::compute::{CompResult, Op};
use moka::policy::EvictionPolicy;

use super::bindings::limen::policy::cache;
use crate::state::State;

/// The longest key, in bytes.
const MAX_KEY: usize = 1024;
/// What an entry takes beside its key and value, as far as the bound is concerned, in bytes.
const ENTRY: usize = 128;
/// As good as without end; moka counts no further than a thousand years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The caches of the process, by plugin. A plugin that no snapshot has any more has none.
#[derive(Default)]
pub(crate) struct Caches(Mutex<HashMap<String, Weak<Cache>>>);

/// The cache of one plugin.
pub struct Cache {
    size: u64,
    entries: moka::sync::Cache<String, Entry>,
    counts: Arc<Counts>,
}

/// What has become of what was looked for and kept.
#[derive(Debug, Default)]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    evictions: AtomicU64,
}

/// What a cache has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheReading {
    pub hits: u64,
    pub misses: u64,
    /// What had to go to make room.
    pub evictions: u64,
    /// About so many, and what they take of the cache's size.
    pub entries: u64,
    pub bytes: u64,
}

#[derive(Clone)]
struct Entry {
    value: Bytes,
    /// None: without end.
    ttl: Option<Duration>,
}

impl Caches {
    /// That of a plugin: it outlives versions and snapshots, though not a change of its size.
    pub(crate) fn of(&self, plugin: &str, size: u64) -> Arc<Cache> {
        let mut caches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = caches.get(plugin).and_then(Weak::upgrade);
        if let Some(cache) = known.as_ref().filter(|cache| cache.size == size) {
            return cache.clone();
        }
        // The counts never go back.
        let counts = known.map(|known| known.counts.clone()).unwrap_or_default();
        let cache = Arc::new(Cache::new(size, counts));
        caches.retain(|_, cache| cache.strong_count() > 0);
        caches.insert(plugin.to_owned(), Arc::downgrade(&cache));
        cache
    }
}

impl Cache {
    fn new(size: u64, counts: Arc<Counts>) -> Self {
        let weigh = |key: &String, entry: &Entry| weight(key, &entry.value).try_into().unwrap_or(u32::MAX);
        let evicted = counts.clone();
        let entries = moka::sync::Cache::builder()
            .max_capacity(size)
            .weigher(weigh)
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(OwnTtl)
            .eviction_listener(move |_, _, why| {
                if why == RemovalCause::Size {
                    evicted.evictions.fetch_add(1, Relaxed);
                }
            })
            .build();
        Cache { size, entries, counts }
    }

    /// What it has come to.
    pub fn read(&self) -> CacheReading {
        // What is settled a moment later otherwise.
        self.entries.run_pending_tasks();
        let Counts { hits, misses, evictions } = &*self.counts;
        CacheReading {
            hits: hits.load(Relaxed),
            misses: misses.load(Relaxed),
            evictions: evictions.load(Relaxed),
            entries: self.entries.entry_count(),
            bytes: self.entries.weighted_size(),
        }
    }

    fn get(&self, key: &str) -> Option<Bytes> {
        let found = self.entries.get(key);
        let count = if found.is_some() { &self.counts.hits } else { &self.counts.misses };
        count.fetch_add(1, Relaxed);
        Some(found?.value)
    }

    fn put(&self, key: String, value: Vec<u8>, ttl_ms: u64) -> bool {
        let fits = self.fits(&key, &value);
        if fits {
            self.entries.insert(key, Entry::new(value, ttl_ms));
        }
        fits
    }

    fn add(&self, key: String, value: Vec<u8>, ttl_ms: u64) -> bool {
        if !self.fits(&key, &value) {
            return false;
        }
        // Under the key's lock: `or_insert` lets two of many through now and then.
        let added = self.entries.entry(key).and_compute_with(|known| match known {
            Some(_) => Op::Nop,
            None => Op::Put(Entry::new(value, ttl_ms)),
        });
        matches!(added, CompResult::Inserted(_) | CompResult::ReplacedWith(_))
    }

    fn fits(&self, key: &str, value: &[u8]) -> bool {
        key.len() <= MAX_KEY && weight(key, value) as u64 <= self.size
    }
}

fn weight(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + ENTRY
}

impl Entry {
    fn new(value: Vec<u8>, ttl_ms: u64) -> Self {
        let ttl = (ttl_ms > 0).then(|| Duration::from_millis(ttl_ms).min(LONGEST));
        Entry { value: Bytes::from(value), ttl }
    }
}

/// Each entry has a time to live of its own, counted from when it was put.
struct OwnTtl;

impl Expiry<String, Entry> for OwnTtl {
    fn expire_after_create(&self, _: &String, entry: &Entry, _: Instant) -> Option<Duration> {
        entry.ttl
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        entry.ttl
    }
}

impl cache::Host for State {
    fn get(&mut self, key: String) -> Option<Vec<u8>> {
        Some(self.grounds.cache.as_ref()?.get(&key)?.to_vec())
    }

    fn put(&mut self, key: String, value: Vec<u8>, ttl_ms: u64) -> bool {
        self.grounds.cache.as_ref().is_some_and(|cache| cache.put(key, value, ttl_ms))
    }

    fn add(&mut self, key: String, value: Vec<u8>, ttl_ms: u64) -> bool {
        self.grounds.cache.as_ref().is_some_and(|cache| cache.add(key, value, ttl_ms))
    }

    fn remove(&mut self, key: String) {
        if let Some(cache) = &self.grounds.cache {
            cache.entries.invalidate(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(cache: &Cache, key: &str, value: &[u8], ttl_ms: u64) -> bool {
        cache.put(key.to_owned(), value.to_vec(), ttl_ms)
    }

    #[test]
    fn entries_end_and_are_replaced() {
        let cache = Cache::new(1 << 20, Arc::default());
        assert!(put(&cache, "a", b"1", 0) && put(&cache, "b", b"2", 1) && put(&cache, "c", b"3", u64::MAX));
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(cache.get("a").as_deref(), Some(&b"1"[..]));
        assert_eq!(cache.get("b"), None);
        assert_eq!(cache.get("c").as_deref(), Some(&b"3"[..]));
        assert!(put(&cache, "a", b"4", 1));
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(cache.get("a"), None, "the time to live is that of the last put");
        assert!(put(&cache, "a", b"5", 0));
        assert_eq!(cache.get("a").as_deref(), Some(&b"5"[..]));
    }

    #[test]
    fn its_size_is_bounded_in_bytes() {
        const SIZE: u64 = 100_000;
        let cache = Cache::new(SIZE, Arc::default());
        assert!(!put(&cache, "whole", &[0; SIZE as usize], 0));
        assert!(!put(&cache, &"k".repeat(MAX_KEY + 1), b"", 0));
        for number in 0..1000 {
            assert!(put(&cache, &format!("{number}"), &[0; 1000], 0));
            assert!(cache.get("0").is_some() || number > 80);
        }
        cache.entries.run_pending_tasks();
        assert!(cache.entries.weighted_size() <= SIZE, "{}", cache.entries.weighted_size());
        assert!(cache.entries.entry_count() > 50, "{}", cache.entries.entry_count());
        assert!(cache.get("999").is_some(), "what was put last is there");
        assert!(cache.get("1000").is_none());
        let read = cache.read();
        assert_eq!(read.evictions + read.entries, 1000, "{read:?}");
        assert!(read.hits > 0 && read.misses > 0 && read.bytes <= SIZE, "{read:?}");
    }

    #[test]
    fn one_of_many_adds() {
        let cache = Cache::new(1 << 20, Arc::default());
        for round in 0..2000 {
            let add = || cache.add(format!("lock {round}"), vec![1], 60_000);
            let added: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(add)).collect();
                threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum()
            });
            assert_eq!(added, 1, "round {round}");
        }
    }

    #[test]
    fn a_plugin_keeps_its_cache_as_long_as_somebody_uses_it() {
        let caches = Caches::default();
        let first = caches.of("a", 1000);
        put(&first, "k", b"v", 0);
        assert!(caches.of("a", 1000).get("k").is_some());
        assert!(caches.of("b", 1000).get("k").is_none(), "another plugin");
        assert!(caches.of("a", 2000).get("k").is_none(), "another size");
        drop(first);
        assert!(caches.of("a", 1000).get("k").is_none(), "nobody has used it for a while");
    }
}
