//! What a cache counts, over all its workers and reloads.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one cache.
#[derive(Debug, Default)]
pub struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    validated: AtomicU64,
    passed: AtomicU64,
    collapsed: AtomicU64,
    stored: AtomicU64,
    evicted: AtomicU64,
    thawed: AtomicU64,
    skipped: AtomicU64,
}

/// What they came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Requests answered from the store with a fresh response that was there when they came.
    pub hits: u64,
    /// Requests that went to the upstream, for a response to keep or to have what is kept validated.
    pub misses: u64,
    /// Requests answered from the store with a stale response; of these, those that the upstream had failed are among
    /// the misses as well.
    pub stale: u64,
    /// Responses that the upstream has said are still good, to requests and in the background.
    pub validated: u64,
    /// Requests that went to the upstream without looking, or because such answers are not kept.
    pub passed: u64,
    /// Requests answered with what another one has brought, for which they have waited.
    pub collapsed: u64,
    /// New responses put into the store.
    pub stored: u64,
    /// Responses that had to go from memory because it was full.
    pub evicted: u64,
    /// Requests answered with a fresh response that was on the disk only; hits as well.
    pub from_disk: u64,
    /// Responses that were not written to the disk: there was too much to do, no room, or it failed.
    pub skipped: u64,
    /// What they take of the disk, in bytes, about; and what they may take.
    pub disk_bytes: u64,
    pub disk_size: u64,
    /// Whether all of the disk is in use: no other process has it, and what is there is known.
    pub disk_is_open: bool,
    /// Files of the disk that were damaged.
    pub damaged: u64,
    /// URLs in the store, about.
    pub urls: u64,
    /// What they take, in bytes, about.
    pub bytes: u64,
    /// What they may take, in bytes.
    pub size: u64,
}

impl Counts {
    pub fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    pub fn missed(&self) {
        self.misses.fetch_add(1, Ordering::Relaxed);
    }

    pub fn stale(&self) {
        self.stale.fetch_add(1, Ordering::Relaxed);
    }

    pub fn validated(&self) {
        self.validated.fetch_add(1, Ordering::Relaxed);
    }

    pub fn passed(&self) {
        self.passed.fetch_add(1, Ordering::Relaxed);
    }

    pub fn collapsed(&self) {
        self.collapsed.fetch_add(1, Ordering::Relaxed);
    }

    pub fn stored(&self) {
        self.stored.fetch_add(1, Ordering::Relaxed);
    }

    pub fn evicted(&self, entries: usize) {
        self.evicted.fetch_add(entries as u64, Ordering::Relaxed);
    }

    pub fn thawed(&self) {
        self.thawed.fetch_add(1, Ordering::Relaxed);
    }

    pub fn skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> Reading {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Reading {
            hits: count(&self.hits),
            misses: count(&self.misses),
            stale: count(&self.stale),
            validated: count(&self.validated),
            passed: count(&self.passed),
            collapsed: count(&self.collapsed),
            stored: count(&self.stored),
            evicted: count(&self.evicted),
            from_disk: count(&self.thawed),
            skipped: count(&self.skipped),
            ..Reading::default()
        }
    }
}
