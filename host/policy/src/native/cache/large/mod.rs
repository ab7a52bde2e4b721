//! Bodies that are too long for memory: they go to the disk while they go by, and come from it as a stream. Of each no
//! more than a few pieces are in memory.
//!
//! A worker [sends](Spill) what comes by, and never waits; the thread [writes](Arrivals) it. What keeps the thread from
//! keeping up is not kept; neither is what comes too slowly, as others may want its place, and what is out of date
//! before it is whole. What is there is [read](Opened) beside the worker, a piece when the client has taken the one before.

mod arrive;
mod spill;
mod stream;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Spot;
use http::HeaderMap;
use limen_store::folder::Key;

use super::disk::Disk;
use super::entry::Entry;
use super::epoch::Epoch;
use super::flight::Lead;
use super::shelf::Stored;
use super::storing::Refused;

pub use arrive::Arrivals;
pub use spill::{Lost, Spill, Step};
pub use stream::{FromDisk, OpenFile, Opened, Unopened};

/// How many go to one disk at the same time, at most.
const MOST: usize = 64;

/// A response whose body is to come.
pub struct Coming {
    pub stored: Arc<Stored>,
    pub url: String,
    pub request: HeaderMap,
    pub epoch: Epoch,
    pub entry: Entry,
    /// Nobody else asks for it behind an answer until this is over.
    pub lead: OnceLock<Lead>,
    /// It was forgotten or purged since, or there is a newer one.
    is_outdated: AtomicBool,
}

impl Coming {
    pub fn new(stored: Arc<Stored>, url: String, request: HeaderMap, epoch: Epoch, entry: Entry) -> Self {
        let (lead, is_outdated) = (OnceLock::new(), AtomicBool::new(false));
        Coming { stored, url, request, epoch, entry, lead, is_outdated }
    }

    /// Others needn't wait for it. `is_lost`: it is not kept, and what it was to replace is out of date.
    pub fn pass(&self, is_lost: bool) {
        let replaced = is_lost.then_some(&self.request);
        let parts = &self.entry.selection.parts;
        self.stored.store.pass(&self.url, parts, replaced, Instant::now());
    }

    pub fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::SeqCst)
    }

    fn outdate(&self) {
        self.is_outdated.store(true, Ordering::SeqCst);
    }

    fn key(&self) -> Key {
        self.stored.store.key(&self.url)
    }
}

/// Which responses are on their way to the disk: of those that are the same one at a time.
#[derive(Default)]
pub struct Spills {
    last: AtomicU64,
    count: AtomicUsize,
    claimed: DashMap<(Key, u64), Arc<Coming>>,
}

/// The right to bring one of them.
struct Claim {
    disk: Arc<Disk>,
    coming: Arc<Coming>,
    which: (Key, u64),
}

impl Spills {
    /// Whether one may come that is like this.
    pub fn may_begin(&self, which: (Key, u64)) -> bool {
        self.count.load(Ordering::Relaxed) < MOST && !self.claimed.contains_key(&which)
    }

    fn take_place(&self) -> Result<(), Refused> {
        if self.count.fetch_add(1, Ordering::Relaxed) < MOST {
            return Ok(());
        }
        self.count.fetch_sub(1, Ordering::Relaxed);
        Err(Refused::Request("too many are on their way"))
    }

    /// All of this key are out of date.
    pub fn outdate(&self, key: Key) {
        self.outdate_such(|known, _| known == key);
    }

    /// Those that are for such a request, if they came before this: there is a newer one.
    pub fn outdate_older(&self, url: &str, parts: &str, request: &HeaderMap, received: Instant) {
        self.outdate_such(|_, coming| {
            coming.url == url
                && coming.entry.since() < received
                && coming.entry.selection.fits(parts, request)
        });
    }

    pub fn outdate_such(&self, mut is_such: impl FnMut(Key, &Coming) -> bool) {
        if self.count.load(Ordering::SeqCst) == 0 {
            return;
        }
        for claimed in &self.claimed {
            if is_such(claimed.key().0, claimed.value()) {
                claimed.value().outdate();
            }
        }
    }
}

impl Claim {
    /// One that is newer than what is on its way, and not the same, takes its place.
    fn take(disk: &Arc<Disk>, coming: &Arc<Coming>) -> Result<Self, Refused> {
        let which = (coming.key(), coming.entry.selection.number());
        match disk.spills.claimed.entry(which) {
            Spot::Occupied(mut spot) => {
                let known = spot.get();
                let is_newer = known.entry.since() < coming.entry.since();
                let goes = known.is_outdated() || is_newer && known.entry.differs_from(&coming.entry);
                if !goes {
                    return Err(Refused::Request("somebody else brings the same"));
                }
                known.outdate();
                disk.spills.take_place()?;
                spot.insert(coming.clone());
            }
            Spot::Vacant(spot) => {
                disk.spills.take_place()?;
                spot.insert(coming.clone());
            }
        }
        Ok(Claim { disk: disk.clone(), coming: coming.clone(), which })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let spills = &self.disk.spills;
        spills.claimed.remove_if(&self.which, |_, known| Arc::ptr_eq(known, &self.coming));
        spills.count.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
