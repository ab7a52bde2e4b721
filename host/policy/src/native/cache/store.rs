//! Where responses are kept: by URL, shared by all workers, and no more of them than there is room for.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderMap;
use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::sync::Cache;

use super::counts::Counts;
use super::entry::Entry;
use super::flight::Flights;

/// What a URL takes beside its entries.
const OVERHEAD: usize = 256;
/// How long requests for what is not kept don't wait for one another.
const PASS: Duration = Duration::from_secs(10);
/// URLs by their hash, to notice that one was invalidated while its response was on the way.
const SLOTS: usize = 1024;

/// The responses of one cache.
pub struct Store {
    /// What it may take, in bytes.
    pub size: u64,
    /// The most different responses of one URL.
    variants: usize,
    cache: Cache<Arc<str>, Arc<Resource>>,
    pub flights: Arc<Flights>,
    /// Bytes of bodies that are still to come whole.
    under_way: AtomicU64,
    /// How often something was invalidated, by the hash of the URL.
    epochs: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// All that is known of a URL, what came last first.
#[derive(Clone, Default)]
pub struct Resource(Vec<Known>);

#[derive(Clone)]
enum Known {
    Entry(Arc<Entry>),
    /// What is asked like this is not kept, as was seen a moment ago.
    Pass {
        parts: Box<str>,
        until: Instant,
    },
}

/// What there is for a request.
pub enum Found {
    Entry(Arc<Entry>),
    /// It needn't wait for others: what comes is not kept.
    Pass,
    Nothing(Missing),
}

/// What is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    Url,
    /// There are responses of it, and for other requests.
    Variant,
}

/// The URL as it was at a moment: what is kept of it later has to know whether it was invalidated since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

impl Store {
    pub fn new(size: u64, variants: usize, counts: Arc<Counts>) -> Self {
        let cache = Cache::builder()
            .max_capacity(size)
            .weigher(|url: &Arc<str>, resource: &Arc<Resource>| {
                u32::try_from(OVERHEAD + url.len() + resource.weight()).unwrap_or(u32::MAX)
            })
            .eviction_listener(move |_, resource: Arc<Resource>, cause| {
                if cause == RemovalCause::Size {
                    counts.evicted(resource.entries().count());
                }
            })
            .build();
        let epochs = (0..SLOTS).map(|_| AtomicU64::default()).collect();
        let (flights, under_way) = (Arc::default(), AtomicU64::default());
        Store { size, variants, cache, flights, under_way, epochs, hasher: RandomState::new() }
    }

    pub fn find(
        &self,
        url: &str,
        parts: &str,
        request: &HeaderMap,
        now: Instant,
    ) -> (Found, Option<Arc<Resource>>) {
        match self.cache.get(url) {
            None => (Found::Nothing(Missing::Url), None),
            Some(resource) => (resource.find(parts, request, now), Some(resource)),
        }
    }

    /// To be asked before the upstream is.
    pub fn epoch(&self, url: &str) -> Epoch {
        Epoch(self.slot(url).load(Ordering::SeqCst))
    }

    /// Keeps a response, in place of those that were for such requests; unless its URL was invalidated since.
    pub fn put(&self, url: &str, entry: Arc<Entry>, request: &HeaderMap, epoch: Epoch) -> bool {
        if self.epoch(url) != epoch || (entry.weight() + url.len() + OVERHEAD) as u64 > self.size {
            return false;
        }
        let parts = entry.selection.parts.clone();
        self.change(url, |resource| {
            resource.0.retain(|known| match known {
                Known::Entry(known) => !known.selection.fits(&parts, request),
                Known::Pass { parts: known, .. } => *known != parts,
            });
            resource.0.insert(0, Known::Entry(entry.clone()));
        });
        // What was invalidated meanwhile is not there to be found.
        if self.epoch(url) != epoch {
            self.cache.invalidate(url);
            return false;
        }
        true
    }

    /// Notes that what is asked like this is not kept. What was kept for a request that has got something else
    /// now goes.
    pub fn pass(&self, url: &str, parts: &str, replaced: Option<&HeaderMap>, now: Instant) {
        let until = now + PASS;
        self.change(url, |resource| {
            resource.0.retain(|known| match known {
                Known::Entry(entry) => !replaced.is_some_and(|request| entry.selection.fits(parts, request)),
                Known::Pass { parts: known, until } => **known != *parts && *until > now,
            });
            resource.0.insert(0, Known::Pass { parts: parts.into(), until });
        });
    }

    fn change(&self, url: &str, edit: impl FnOnce(&mut Resource)) {
        self.cache.entry(url.into()).and_compute_with(|known| {
            let mut resource = known.map(|known| Resource::clone(known.value())).unwrap_or_default();
            edit(&mut resource);
            resource.0.truncate(self.variants);
            if resource.0.is_empty() { Op::Remove } else { Op::Put(Arc::new(resource)) }
        });
    }

    /// Room for so much more of a body that is on its way; there is as much for these as for what is kept.
    pub fn take_room(&self, bytes: usize) -> bool {
        self.under_way.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64 <= self.size
    }

    /// Gives back what was taken, also what there was no room for.
    pub fn give_room(&self, bytes: usize) {
        self.under_way.fetch_sub(bytes as u64, Ordering::Relaxed);
    }

    /// Forgets a URL, and what of it is on the way.
    pub fn invalidate(&self, url: &str) {
        self.slot(url).fetch_add(1, Ordering::SeqCst);
        self.cache.invalidate(url);
    }

    /// Forgets the entries that are such; answers how many.
    pub fn purge(&self, is_such: impl Fn(&str, &Entry) -> bool) -> usize {
        // What comes now is not kept: nobody can say yet whether it is such.
        for epoch in &self.epochs {
            epoch.fetch_add(1, Ordering::SeqCst);
        }
        let mut purged = 0;
        for (url, resource) in &self.cache {
            let such = resource.entries().filter(|entry| is_such(&url, entry)).count();
            if such > 0 {
                purged += such;
                self.change(&url, |resource| {
                    resource.0.retain(|known| match known {
                        Known::Entry(entry) => !is_such(&url, entry),
                        Known::Pass { .. } => true,
                    });
                });
            }
        }
        purged
    }

    /// How many URLs it has, about, and what they take.
    pub fn extent(&self) -> (u64, u64) {
        self.cache.run_pending_tasks();
        (self.cache.entry_count(), self.cache.weighted_size())
    }

    /// A number for those who would ask the upstream the same.
    pub fn same(&self, url: &str, parts: &str, request: &HeaderMap, known: Option<&Resource>) -> u64 {
        let latest =
            known.and_then(|resource| resource.entries().find(|entry| *entry.selection.parts == *parts));
        let selecting = latest.map(|entry| entry.selection.of(request));
        self.hasher.hash_one((url, parts, selecting))
    }

    fn slot(&self, url: &str) -> &AtomicU64 {
        static NONE: AtomicU64 = AtomicU64::new(0);
        let place = self.hasher.hash_one(url) as usize % SLOTS;
        self.epochs.get(place).unwrap_or(&NONE)
    }
}

impl Resource {
    /// What is kept goes before what is known not to be kept: that was perhaps the answer to somebody else.
    fn find(&self, parts: &str, request: &HeaderMap, now: Instant) -> Found {
        if let Some(entry) = self.entries().find(|entry| entry.selection.fits(parts, request)) {
            return Found::Entry(entry.clone());
        }
        let is_passed = |known: &Known| match known {
            Known::Pass { parts: known, until } => **known == *parts && *until > now,
            Known::Entry(_) => false,
        };
        match self.0.iter().any(is_passed) {
            true => Found::Pass,
            false if self.entries().next().is_some() => Found::Nothing(Missing::Variant),
            false => Found::Nothing(Missing::Url),
        }
    }

    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.0.iter().filter_map(|known| match known {
            Known::Entry(entry) => Some(entry),
            Known::Pass { .. } => None,
        })
    }

    fn weight(&self) -> usize {
        let weight = |known: &Known| match known {
            Known::Entry(entry) => entry.weight(),
            Known::Pass { parts, .. } => parts.len() + 64,
        };
        self.0.iter().map(weight).sum()
    }
}
