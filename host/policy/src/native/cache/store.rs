//! Where responses are kept: by URL, shared by all workers, and no more of them than there is room for.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::HeaderMap;
use limen_store::folder::Key;
use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::sync::Cache;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::counts::Counts;
use super::disk::{Disk, IsSuch, Told};
use super::entry::{Body, Entry};
use super::epoch::{Epoch, Epochs};
use super::flight::Flights;
use super::large::{Opened, Unopened};
use super::thawing::Thaws;
use super::vary::Selection;

/// What a URL takes beside its entries.
const OVERHEAD: usize = 256;
/// How long requests for what is not kept don't wait for one another.
const PASS: Duration = Duration::from_secs(10);

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
    epochs: Arc<Epochs>,
    /// The second tier, if there is one; and what tells apart there by which settings something was kept.
    pub disk: Option<Arc<Disk>>,
    pub seed: u64,
    pub thaws: Thaws,
    hasher: RandomState,
}

/// All that is known of a URL, what came last first.
#[derive(Clone, Default)]
pub struct Resource(Vec<Known>);

#[derive(Clone)]
enum Known {
    /// And the epoch that it is of.
    Entry(Arc<Entry>, Epoch),
    /// What is asked like this is not kept, as was seen a moment ago.
    Pass { parts: Box<str>, until: Instant },
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

impl Store {
    /// `seed` is of the settings that say what is kept, and how keys are made: what was kept by others is not
    /// found on the disk.
    pub fn new(size: u64, variants: usize, counts: Arc<Counts>, disk: Option<Arc<Disk>>, seed: u64) -> Self {
        let epochs = Arc::<Epochs>::default();
        let second = disk.clone().map(|disk| (disk, epochs.clone()));
        let cache = Cache::builder()
            .max_capacity(size)
            .weigher(|url: &Arc<str>, resource: &Arc<Resource>| {
                u32::try_from(OVERHEAD + url.len() + resource.weight()).unwrap_or(u32::MAX)
            })
            .eviction_listener(move |url: Arc<Arc<str>>, resource: Arc<Resource>, cause| {
                if cause != RemovalCause::Size {
                    return;
                }
                counts.evicted(resource.entries().count());
                if let Some((disk, epochs)) = &second {
                    resource.freeze(disk, epochs, &url, key(&url, seed));
                }
            })
            .build();
        let (flights, under_way) = (Arc::default(), AtomicU64::default());
        Store {
            size,
            variants,
            cache,
            flights,
            under_way,
            epochs,
            disk,
            seed,
            thaws: Thaws::default(),
            hasher: RandomState::new(),
        }
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
        self.epochs.of(url)
    }

    /// Keeps a response, in place of those that were for such requests; unless its URL was invalidated since. Answers
    /// the epoch that it is of.
    pub fn put(&self, url: &str, entry: Arc<Entry>, request: &HeaderMap, epoch: Epoch) -> Option<Epoch> {
        let epoch = self.make_way(url, &entry.selection, request, epoch)?;
        // First, so that one that is whole at this moment sees it, or is replaced.
        self.outdate_older(url, &entry.selection.parts, request, entry.since());
        self.set(url, entry, request, epoch)
    }

    /// What is on its way to the disk for such a request, and came before this, is not kept: there is a newer one.
    pub fn outdate_older(&self, url: &str, parts: &str, request: &HeaderMap, received: Instant) {
        if let Some(disk) = &self.disk {
            disk.spills.outdate_older(url, parts, request, received);
        }
    }

    /// Whether a newer one would find its way to where the body of this one is.
    pub fn may_be_replaced(&self, url: &str, entry: &Entry) -> bool {
        let disk = self.disk.as_ref().filter(|_| entry.body.place().is_some());
        let which = || (self.key(url), entry.selection.number());
        disk.is_none_or(|disk| !disk.is_busy() && disk.spills.may_begin(which()))
    }

    /// The disk does not answer in time.
    pub fn go_past_disk(&self) {
        if let Some(disk) = &self.disk {
            disk.go_past();
        }
    }

    /// Has the disk forget what such a response takes the place of and is no earlier version of it: it would be kept there
    /// beside it. None if the URL was invalidated since; else the epoch that the response is of then.
    pub fn make_way(
        &self,
        url: &str,
        selection: &Selection,
        request: &HeaderMap,
        epoch: Epoch,
    ) -> Option<Epoch> {
        if self.epoch(url) != epoch {
            return None;
        }
        // It varied by other headers.
        let is_replaced = |known: &Arc<Entry>| {
            known.selection != *selection && known.selection.fits(&selection.parts, request)
        };
        match &self.disk {
            Some(disk) if self.cache.get(url).is_some_and(|known| known.entries().any(is_replaced)) => {
                self.clear(disk, url, epoch)
            }
            _ => Some(epoch),
        }
    }

    /// Puts it into memory alone, way being made for it.
    pub fn set(&self, url: &str, entry: Arc<Entry>, request: &HeaderMap, epoch: Epoch) -> Option<Epoch> {
        if entry.weight() + url.len() + OVERHEAD > self.room() {
            return None;
        }
        let parts = entry.selection.parts.clone();
        self.change(url, |resource| {
            resource.0.retain(|known| match known {
                Known::Entry(known, _) => !known.selection.fits(&parts, request),
                Known::Pass { parts: known, .. } => *known != parts,
            });
            resource.0.insert(0, Known::Entry(entry.clone(), epoch));
        });
        // What was invalidated meanwhile is not there to be found.
        if self.epoch(url) != epoch {
            self.cache.invalidate(url);
            return None;
        }
        Some(epoch)
    }

    /// What a response may take of memory with its URL, at most.
    fn room(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    /// How long the body of this one may be, for memory.
    pub fn longest(&self, url: &str, entry: &Entry) -> usize {
        self.room().saturating_sub(entry.weight() + url.len() + OVERHEAD)
    }

    /// Opens its body on the disk. If that is gone, the response is forgotten.
    pub async fn open(&self, url: &str, entry: &Arc<Entry>) -> Option<Opened> {
        let opened = self.disk.as_ref()?.open(entry.body.place()?).await;
        if opened.as_ref().is_err_and(|why| *why == Unopened::Gone) {
            self.change(url, |resource| {
                resource
                    .0
                    .retain(|known| !matches!(known, Known::Entry(known, _) if Arc::ptr_eq(known, entry)));
            });
        }
        opened.ok()
    }

    /// Has the disk forget a URL, and what is on its way from there; none if it was invalidated since.
    fn clear(&self, disk: &Disk, url: &str, epoch: Epoch) -> Option<Epoch> {
        let epoch = self.epochs.renew(url, epoch)?;
        disk.forget_written(self.key(url));
        self.epochs.renew(url, epoch)
    }

    /// Notes that what is asked like this is not kept. What was kept for a request that has got something else
    /// now goes.
    pub fn pass(&self, url: &str, parts: &str, replaced: Option<&HeaderMap>, now: Instant) {
        let until = now + PASS;
        if replaced.is_some() {
            self.forget_on_disk(url);
        }
        self.change(url, |resource| {
            resource.0.retain(|known| match known {
                Known::Entry(entry, _) => {
                    !replaced.is_some_and(|request| entry.selection.fits(parts, request))
                }
                Known::Pass { parts: known, until } => **known != *parts && *until > now,
            });
            resource.0.insert(0, Known::Pass { parts: parts.into(), until });
        });
    }

    /// Keeps it on the disk as well, where there is one.
    pub fn freeze(&self, url: &str, entry: &Arc<Entry>, epoch: Epoch) {
        if let Some(disk) = self.disk.as_ref().filter(|_| !entry.frozen.is_set()) {
            disk.write(self.key(url), url, entry, &self.epochs, epoch);
        }
    }

    /// Whether the disk has more of it than memory.
    pub fn is_on_disk(&self, url: &str, known: Option<&Resource>) -> bool {
        let here = known.map_or(0, |resource| resource.entries().count());
        self.disk.as_ref().is_some_and(|disk| !disk.is_past() && disk.count(self.key(url)) > here)
    }

    /// Puts into memory what the disk had, behind what is there; unless its URL was invalidated since.
    pub fn restore(&self, url: &str, entries: &[Arc<Entry>], epoch: Epoch) -> Option<Arc<Resource>> {
        if self.epoch(url) != epoch {
            return None;
        }
        self.change(url, |resource| {
            for entry in entries {
                if resource.entries().all(|known| known.selection != entry.selection) {
                    resource.0.push(Known::Entry(entry.clone(), epoch));
                }
            }
        });
        if self.epoch(url) != epoch {
            self.cache.invalidate(url);
            return None;
        }
        let known = entries.iter().map(|entry| Known::Entry(entry.clone(), epoch));
        Some(Arc::new(Resource(known.collect())))
    }

    /// What the disk finds a URL by.
    pub fn key(&self, url: &str) -> Key {
        key(url, self.seed)
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
        self.epochs.end(url);
        self.forget_on_disk(url);
        self.cache.invalidate(url);
    }

    /// Comes before memory forgets it: else what is being read of the disk would bring it back.
    fn forget_on_disk(&self, url: &str) {
        if let Some(disk) = &self.disk {
            // What is being written is not kept;
            self.epochs.end(url);
            disk.forget(self.key(url));
            // nor is what was read before that.
            self.epochs.end(url);
        }
    }

    /// Forgets the entries that are such; answers how many. Waits for the disk, if there is one.
    pub fn purge(&self, is_such: impl Fn(&str, &Entry) -> bool, mut on_disk: IsSuch) -> usize {
        // What comes now is not kept: nobody can say yet whether it is such.
        self.epochs.end_all();
        let in_memory = self.such(&is_such);
        let mut purged = in_memory.clone();
        if let Some(disk) = &self.disk {
            // What a validation has changed is such in memory alone: its file goes as well, and who has read that.
            let of_these = in_memory.clone();
            let is_either =
                move |key, told: &Told<'_>| of_these.contains(&(key, told.variant())) || on_disk(key, told);
            purged.extend(disk.purge(Box::new(is_either)));
            // Nor is what was read of the disk before that was done.
            self.epochs.end_all();
        }
        purged.extend(self.such(&is_such));
        for (url, resource) in &self.cache {
            let key = self.key(&url);
            let goes =
                |entry: &Entry| is_such(&url, entry) || in_memory.contains(&(key, entry.selection.number()));
            if resource.entries().any(|entry| goes(entry)) {
                self.change(&url, |resource| {
                    resource.0.retain(|known| match known {
                        Known::Entry(entry, _) => !goes(entry),
                        Known::Pass { .. } => true,
                    });
                });
            }
        }
        purged.len()
    }

    /// What of memory is such.
    fn such(&self, is_such: impl Fn(&str, &Entry) -> bool) -> HashSet<(Key, u64)> {
        let of = |(url, resource): (Arc<Arc<str>>, Arc<Resource>)| {
            let key = self.key(&url);
            let such = resource.entries().filter(|entry| is_such(&url, entry));
            such.map(|entry| (key, entry.selection.number())).collect::<Vec<_>>()
        };
        self.cache.iter().flat_map(of).collect()
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
}

/// Of one half one sees what of a URL it is, by whatever settings it was kept: that is looked for where it is purged.
fn key(url: &str, seed: u64) -> Key {
    Key::from(path_of(url)) << 64 | Key::from(xxh3_64_with_seed(url.as_bytes(), seed))
}

/// A number for a URL without its query: which part of that counts is a matter of settings.
fn path_of(url: &str) -> u64 {
    let path = url.split('?').next().unwrap_or_default();
    xxh3_64(path.as_bytes())
}

/// Whether a file may be of this URL, or of one with another query.
pub fn may_be_of(key: Key, url: &str) -> bool {
    key >> 64 == Key::from(path_of(url))
}

impl Resource {
    /// What is kept goes before what is known not to be kept: that was perhaps the answer to somebody else.
    pub fn find(&self, parts: &str, request: &HeaderMap, now: Instant) -> Found {
        if let Some(entry) = self.entries().find(|entry| entry.selection.fits(parts, request)) {
            return Found::Entry(entry.clone());
        }
        let is_passed = |known: &Known| match known {
            Known::Pass { parts: known, until } => **known == *parts && *until > now,
            Known::Entry(..) => false,
        };
        match self.0.iter().any(is_passed) {
            true => Found::Pass,
            false if self.entries().next().is_some() => Found::Nothing(Missing::Variant),
            false => Found::Nothing(Missing::Url),
        }
    }

    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.0.iter().filter_map(|known| match known {
            Known::Entry(entry, _) => Some(entry),
            Known::Pass { .. } => None,
        })
    }

    /// What has to go from memory and is not on the disk as it is goes there.
    fn freeze(&self, disk: &Disk, epochs: &Arc<Epochs>, url: &str, key: Key) {
        let now = Instant::now();
        for known in &self.0 {
            if let Known::Entry(entry, epoch) = known
                && !entry.frozen.is_set()
                && entry.is_useful(now)
            {
                match entry.body {
                    Body::Here(_) => disk.write(key, url, entry, epochs, *epoch),
                    // The head there says that it can be used longer, or is purged by other tags.
                    Body::OnDisk(_) => disk.forget_written(key),
                }
            }
        }
    }

    fn weight(&self) -> usize {
        let weight = |known: &Known| match known {
            Known::Entry(entry, _) => entry.weight(),
            Known::Pass { parts, .. } => parts.len() + 64,
        };
        self.0.iter().map(weight).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_settings_apart_and_what_of_a_url_they_are() {
        let all = [("http://a/b", 1), ("http://a/b", 2), ("http://a/b?c", 1), ("http://a/c", 1)];
        let keys = all.map(|(url, seed)| key(url, seed));
        assert_eq!(HashSet::from(keys).len(), 4);
        assert_eq!(keys.map(|key| may_be_of(key, "http://a/b?d=e")), [true, true, true, false]);
    }
}
