//! A cache by its name, as operators see it: what it counts, and how it is purged.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::counts::{Counts, Reading};
use super::disk::{Disk, Told};
use super::entry::Entry;
use super::key::Keys;
use super::store::{Store, may_be_of};

/// All stores of one policy. There is one of each size, key and terms that are still in use: while a reload is under
/// way that changes them, two.
#[derive(Default)]
pub struct Shelf {
    counts: Arc<Counts>,
    stores: Mutex<Vec<Weak<Stored>>>,
    disks: Mutex<Vec<Weak<Disk>>>,
}

/// A store and how its keys are made.
pub struct Stored {
    pub keys: Keys,
    pub store: Store,
    pub counts: Arc<Counts>,
    variants: usize,
}

/// What is to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// `https://api.example.com/a?b=c`; without a scheme: of both.
    Url(String),
    /// All that begin so.
    Prefix(String),
    /// What its response has called so, in `Cache-Tag` or `Surrogate-Key`.
    Tag(String),
    All,
}

impl Shelf {
    /// The second tier in this folder, or a new one.
    pub(super) fn disk(
        &self,
        path: &Path,
        size: u64,
        longest: u64,
        variants: usize,
    ) -> io::Result<Arc<Disk>> {
        let mut disks = self.disks.lock().unwrap_or_else(PoisonError::into_inner);
        disks.retain(|disk| disk.strong_count() > 0);
        let is_same = |known: &Arc<Disk>| {
            let sizes = (known.size, known.longest, known.variants);
            known.path == path && sizes == (size, longest, variants)
        };
        if let Some(known) = disks.iter().filter_map(Weak::upgrade).find(is_same) {
            return Ok(known);
        }
        let new = Disk::start(path, size, longest, variants, self.counts.clone())?;
        disks.push(Arc::downgrade(&new));
        Ok(new)
    }

    /// The store that is such, or a new one. `seed` is of what is kept and how keys are made.
    pub(super) fn store(
        &self,
        size: u64,
        variants: usize,
        keys: Keys,
        seed: u64,
        disk: Option<Arc<Disk>>,
    ) -> Arc<Stored> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|store| store.strong_count() > 0);
        let is_same = |known: &Arc<Stored>| {
            let is_on = |disk: &Arc<Disk>| known.store.disk.as_ref().is_some_and(|it| Arc::ptr_eq(it, disk));
            let has_disk = disk.as_ref().map_or(known.store.disk.is_none(), is_on);
            known.store.size == size && known.variants == variants && known.store.seed == seed && has_disk
        };
        if let Some(known) = stores.iter().filter_map(Weak::upgrade).find(is_same) {
            return known;
        }
        let store = Store::new(size, variants, self.counts.clone(), disk, seed);
        let new = Arc::new(Stored { keys, store, counts: self.counts.clone(), variants });
        stores.push(Arc::downgrade(&new));
        new
    }

    fn stores(&self) -> Vec<Arc<Stored>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    /// Forgets it at once, for all workers; answers how many responses that were. Waits for the disk: not on a worker.
    pub fn purge(&self, purge: &Purge) -> usize {
        self.stores().iter().map(|stored| stored.purge(purge)).sum()
    }

    /// Removes from the disk what was forgotten: to be called before the process ends.
    pub(in crate::native) fn sweep(&self) {
        self.disks().iter().for_each(|disk| disk.sweep());
    }

    fn disks(&self) -> Vec<Arc<Disk>> {
        self.disks.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    pub fn read(&self) -> Reading {
        let mut reading = self.counts.read();
        for stored in self.stores() {
            let (urls, bytes) = stored.store.extent();
            reading.urls += urls;
            reading.bytes += bytes;
            reading.size += stored.store.size;
        }
        reading.disk_is_open = true;
        for disk in self.disks() {
            reading.disk_is_open &= disk.is_open();
            let (bytes, damaged) = disk.extent();
            reading.disk_bytes += bytes;
            reading.disk_size += disk.size;
            reading.damaged += damaged;
        }
        reading
    }
}

impl Stored {
    fn purge(&self, purge: &Purge) -> usize {
        match purge {
            Purge::All => self.store.purge(|_, _| true, Box::new(|_, _| true)),
            Purge::Tag(tag) => {
                let tag = tag.clone();
                self.purge_such(move |_, entry| entry.tags.iter().any(|known| **known == *tag))
            }
            Purge::Prefix(prefix) => {
                let spelt = spellings(prefix);
                self.purge_such(move |url, _| spelt.iter().any(|spelt| url.starts_with(&**spelt)))
            }
            Purge::Url(url) => {
                let spelt: Vec<_> = spellings(url).iter().map(|url| respell(&self.keys, url)).collect();
                let own: Vec<_> = spelt.iter().map(|url| self.store.key(url)).collect();
                let (wanted, keys) = (spelt.clone(), self.keys.clone());
                // What was kept by other settings has other keys.
                let on_disk = Box::new(move |key, told: &Told<'_>| {
                    let may_be = wanted.iter().any(|url| may_be_of(key, url));
                    own.contains(&key)
                        || may_be && told.read().is_none_or(|(url, _)| wanted.contains(&respell(&keys, &url)))
                });
                self.store.purge(|url, _| spelt.iter().any(|spelt| *spelt == *url), on_disk)
            }
        }
    }

    /// What has to be looked at to see whether it is such.
    fn purge_such(&self, is_such: impl Fn(&str, &Entry) -> bool + Clone + Send + 'static) -> usize {
        let such = is_such.clone();
        let on_disk =
            Box::new(move |_, told: &Told<'_>| told.read().is_none_or(|(url, entry)| such(&url, &entry)));
        self.store.purge(is_such, on_disk)
    }
}

/// As such keys have it.
fn respell(keys: &Keys, url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.find(['/', '?']).map_or((rest, "/"), |at| rest.split_at(at));
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    keys.spell(scheme, host, if path.is_empty() { "/" } else { path }, query)
}

/// A URL with its scheme and host as keys have them; one without a scheme is of both.
fn spellings(url: &str) -> Vec<String> {
    let lower = |scheme: &str, rest: &str| {
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let own = if scheme == "https" { ":443" } else { ":80" };
        format!("{scheme}://{}{path}", host.strip_suffix(own).unwrap_or(host).to_ascii_lowercase())
    };
    match url.split_once("://") {
        Some((scheme, rest)) => vec![lower(&scheme.to_ascii_lowercase(), rest)],
        None => ["http", "https"].map(|scheme| lower(scheme, url)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_by_other_terms_is_not_in_its_store() {
        let shelf = Shelf::default();
        let store = |seed| shelf.store(1000, 2, Keys::default(), seed, None);
        let one = store(1);
        assert!(Arc::ptr_eq(&one, &store(1)));
        assert!(!Arc::ptr_eq(&one, &store(2)));
    }
}
