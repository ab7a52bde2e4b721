//! A folder of what can be got again, by key: bounded, private, and there after a restart.
//!
//! What is in it an index in memory knows, which asks no disk; it is made anew of the names of the files. All else
//! waits for the disk: never on a worker. Nothing is trusted that is read: a file that is damaged is as good as none,
//! and goes.

mod file;
mod large;
mod room;

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::private_folder;
use file::{HEAD, Name, Opened, UNFINISHED, remove};
use room::{Room, is_room};

pub use large::{Large, Place, Writing};

/// What is asked for.
pub type Key = u128;

/// What one file takes of the disk is a multiple of this, as most file systems have it.
const BLOCK: u64 = 4096;
const LOCK: &str = "lock";
/// The disk can't read it any more.
const EIO: i32 = 5;

type Index = Cache<Key, Arc<[Slot]>>;

/// Files by key. Of one key there may be several variants.
pub struct Folder {
    path: PathBuf,
    index: Index,
    /// The most variants of one key.
    variants: usize,
    serial: AtomicU64,
    /// Files that are out of the index and still there.
    waste: Arc<Mutex<Vec<Name>>>,
    damaged: AtomicU64,
    /// Another process that has it is waited for.
    _lock: File,
}

/// A file, as the index knows it; what was written last stands first.
#[derive(Clone, Copy)]
struct Slot {
    variant: u64,
    serial: u64,
    blocks: u32,
    /// Its content is not read into memory.
    is_large: bool,
}

/// What there is of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Read(Bytes),
    /// It is too long for memory: it is [opened](Folder::open_large) and read piece by piece.
    Stays(Place),
}

/// What is told of a file, to be looked at.
pub struct About<'a> {
    folder: &'a Path,
    name: Name,
}

impl Folder {
    /// Opens it, `size` bytes of files at most, and finds what is there. Waits until no other process has it.
    pub fn open(path: &Path, size: u64, variants: usize) -> io::Result<Self> {
        private_folder(path)?;
        let lock =
            File::options().write(true).create(true).truncate(false).mode(0o600).open(path.join(LOCK))?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            tracing::info!("{} is another process's: waiting until that has ended", path.display());
        }
        lock.lock()?;
        let waste = Arc::<Mutex<Vec<Name>>>::default();
        let evicted = waste.clone();
        let index = Cache::builder()
            .max_capacity(size / BLOCK)
            .weigher(|_, slots: &Arc<[Slot]>| {
                slots.iter().fold(0, |sum, slot| slot.blocks.saturating_add(sum))
            })
            .eviction_policy(EvictionPolicy::lru())
            .eviction_listener(move |key: Arc<Key>, slots: Arc<[Slot]>, cause| {
                if cause == RemovalCause::Size {
                    lock_of(&evicted).extend(slots.iter().map(|slot| slot.name(*key)));
                }
            })
            .build();
        let (serial, damaged) = (AtomicU64::new(0), AtomicU64::new(0));
        let folder = Folder { path: path.to_owned(), index, variants, serial, waste, damaged, _lock: lock };
        folder.find()?;
        folder.sweep();
        Ok(folder)
    }

    /// Makes the index of the files that are there. Files that are not its own it leaves alone.
    fn find(&self) -> io::Result<()> {
        // The oldest first, so that they go first.
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let text = entry.file_name();
            let Some(text) = text.to_str() else { continue };
            if text.strip_prefix(UNFINISHED).is_some_and(|name| Name::parse(name).is_some()) {
                remove(&entry.path())?;
            } else if let Some(name) = Name::parse(text) {
                found.insert(name.serial, (name, entry.metadata()?.len()));
            }
        }
        let last = found.last_key_value().map_or(0, |(serial, _)| *serial);
        self.serial.store(last.saturating_add(1), Ordering::Relaxed);
        for (name, length) in found.into_values() {
            self.add(name, length, || true);
        }
        self.index.run_pending_tasks();
        Ok(())
    }

    /// How many variants there are of a key. Asks no disk.
    pub fn count(&self, key: Key) -> usize {
        self.index.get(&key).map_or(0, |slots| slots.len())
    }

    /// How many bytes there are to be read of a key. Asks no disk.
    pub fn length(&self, key: Key) -> u64 {
        self.index.get(&key).map_or(0, |slots| slots.iter().map(Slot::length).sum())
    }

    /// What there is of a key, what was written last first: variant, about and content. The first one, and as many
    /// more as make `most` bytes.
    pub fn read(&self, key: Key, most: u64) -> Vec<(u64, Bytes, Content)> {
        let slots = self.index.get(&key);
        let mut length = 0;
        let fits = |slot: &&Slot| {
            let is_first = length == 0;
            length += slot.length();
            is_first || length <= most
        };
        let read = |slot: &Slot| {
            let name = slot.name(key);
            let read = match slot.is_large {
                true => Large::open(&self.path, name)
                    .map(|large| (slot.variant, large.about.clone(), Content::Stays(large.place()))),
                false => Opened::open(&self.path, name).and_then(|opened| {
                    Ok((slot.variant, opened.about.clone(), Content::Read(opened.content()?)))
                }),
            };
            read.map_err(|error| self.lose(name, &error)).ok()
        };
        slots.iter().flat_map(|slots| slots.iter()).take_while(fits).filter_map(read).collect()
    }

    /// Keeps it, in place of the same variant, if it `is_good` still when it can be found. What is longer than all of the
    /// folder is not kept. Where it can't be written, its key is forgotten: what it was to replace is out of date.
    pub fn write(
        &self,
        key: Key,
        variant: u64,
        about: &[u8],
        content: &[u8],
        is_good: impl Fn() -> bool,
    ) -> io::Result<()> {
        let length = (HEAD + about.len() + content.len()) as u64;
        let has_room = length.div_ceil(BLOCK) <= capacity(&self.index);
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let name = Name { key, variant, serial, is_large: false };
        let written = if has_room { file::write(&self.path, name, about, content) } else { Ok(()) };
        if has_room && written.is_ok() {
            self.add(name, length, is_good);
        } else {
            self.forget(key);
        }
        self.index.run_pending_tasks();
        self.sweep();
        written
    }

    /// Opens what is too long for memory, if it was not forgotten. Waits for the disk.
    pub fn open_large(&self, place: Place) -> io::Result<Large> {
        let name = place.name;
        if !self.has(place) {
            return Err(ErrorKind::NotFound.into());
        }
        Large::open(&self.path, name).inspect_err(|error| self.lose(name, error))
    }

    /// Whether it was not forgotten. Asks no disk.
    pub fn has(&self, place: Place) -> bool {
        let Name { key, serial, .. } = place.name;
        self.index.get(&key).is_some_and(|slots| slots.iter().any(|slot| slot.serial == serial))
    }

    /// It can't be read on: it is forgotten.
    pub fn lose_large(&self, place: Place, error: &io::Error) {
        self.lose(place.name, error);
    }

    /// Begins to write what is too long for memory; `length` of it, if that is known. None: it is longer than all of the
    /// folder. Others go for it only as it comes.
    pub fn begin_large(
        &self,
        key: Key,
        variant: u64,
        about: &[u8],
        length: Option<u64>,
    ) -> io::Result<Option<Writing>> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let name = Name { key, variant, serial, is_large: true };
        if length.unwrap_or(0).div_ceil(BLOCK) > capacity(&self.index) {
            return Ok(None);
        }
        let writing = Writing::begin(&self.path, name, about, Room::new(self.index.clone(), serial))?;
        Ok(self.make_room(writing, 0))
    }

    /// Writes more of it; none if there is no room for it.
    pub fn write_large(&self, writing: Writing, data: &[u8]) -> io::Result<Option<Writing>> {
        let Some(mut writing) = self.make_room(writing, data.len() as u64) else { return Ok(None) };
        writing.push(data)?;
        Ok(Some(writing))
    }

    /// Room for so much more. Others go for it.
    fn make_room(&self, mut writing: Writing, more: u64) -> Option<Writing> {
        let has_room = writing.room.grow(blocks(writing.length_with(more)));
        self.sweep();
        has_room.then_some(writing)
    }

    /// That was all of it: it is found, in place of the same variant, if it `is_good` still.
    pub fn finish_large(&self, writing: Writing, is_good: impl Fn() -> bool) -> io::Result<Place> {
        let (name, length) = (writing.name, writing.length_with(0));
        let place = writing.finish(&self.path)?;
        self.add(name, length, is_good);
        self.index.run_pending_tasks();
        self.sweep();
        Ok(place)
    }

    fn add(&self, name: Name, length: u64, is_good: impl Fn() -> bool) {
        let Name { key: _, variant, serial, is_large } = name;
        let slot = Slot { variant, serial, blocks: blocks(length), is_large };
        self.change(name.key, |slots| {
            // Who forgets the key does so before this or after it.
            if !is_good() {
                return (slots.to_vec(), vec![slot]);
            }
            let (mut kept, mut gone): (Vec<_>, Vec<_>) =
                slots.iter().partition(|known| known.variant != name.variant);
            kept.insert(0, slot);
            gone.extend(kept.split_off(kept.len().min(self.variants)));
            (kept, gone)
        });
    }

    /// Forgets a key at once; its files go when it is [swept](Self::sweep).
    pub fn forget(&self, key: Key) {
        self.change(key, |slots| (Vec::new(), slots.to_vec()));
    }

    /// Removes the files that are such, and has them gone from the disk; answers which that were.
    pub fn remove_such(&self, mut is_such: impl FnMut(Key, &About<'_>) -> bool) -> HashSet<(Key, u64)> {
        let mut removed = HashSet::new();
        for (key, slots) in &self.index {
            for slot in slots.iter().filter(|slot| !is_room(*key, slot)) {
                let name = slot.name(*key);
                if is_such(*key, &About { folder: &self.path, name }) {
                    self.drop_slot(name);
                    removed.insert((*key, slot.variant));
                }
            }
        }
        self.sweep();
        // A power failure does not bring them back.
        if let Err(error) = File::open(&self.path).and_then(|folder| folder.sync_all()) {
            tracing::warn!("{}: {error}", self.path.display());
        }
        removed
    }

    /// Removes the files that are out of the index.
    pub fn sweep(&self) {
        let waste = std::mem::take(&mut *lock_of(&self.waste));
        for name in waste {
            if let Err(error) = remove(&self.path.join(name.text())) {
                tracing::warn!(
                    "a file of the cache can't be removed, {}/{}: {error}",
                    self.path.display(),
                    name.text()
                );
            }
        }
    }

    /// How many bytes of the disk it takes, about, and how many files turned out to be damaged.
    pub fn extent(&self) -> (u64, u64) {
        (self.index.weighted_size() * BLOCK, self.damaged.load(Ordering::Relaxed))
    }

    /// It is not there, or of no use as it is, if the error says so. Others say nothing of the file: there may be too many
    /// open ones.
    fn lose(&self, name: Name, error: &io::Error) {
        let is_gone =
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData | ErrorKind::UnexpectedEof);
        if !is_gone && error.raw_os_error() != Some(EIO) {
            return;
        }
        if error.kind() != ErrorKind::NotFound {
            self.damaged.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                "a file of the cache can't be used and goes, {}/{}: {error}",
                self.path.display(),
                name.text()
            );
        }
        self.drop_slot(name);
        self.sweep();
    }

    fn drop_slot(&self, name: Name) {
        let is_it = |slot: &Slot| slot.serial == name.serial;
        self.change(name.key, |slots| slots.iter().partition(|slot| !is_it(slot)));
    }

    /// Changes what is known of a key, into what is kept and what is gone.
    fn change(&self, key: Key, edit: impl FnOnce(&[Slot]) -> (Vec<Slot>, Vec<Slot>)) {
        self.index.entry(key).and_compute_with(|known| {
            let slots = known.map(|known| known.into_value()).unwrap_or_default();
            let (kept, gone) = edit(&slots);
            lock_of(&self.waste).extend(gone.iter().map(|slot| slot.name(key)));
            match (kept.is_empty(), gone.is_empty() && kept.len() == slots.len()) {
                (true, _) => Op::Remove,
                (false, true) => Op::Nop,
                (false, false) => Op::Put(kept.into()),
            }
        });
    }
}

impl Slot {
    /// What is read of it into memory, about.
    fn length(&self) -> u64 {
        if self.is_large { BLOCK } else { u64::from(self.blocks) * BLOCK }
    }

    fn name(&self, key: Key) -> Name {
        let Slot { variant, serial, blocks: _, is_large } = *self;
        Name { key, variant, serial, is_large }
    }
}

fn capacity(index: &Index) -> u64 {
    index.policy().max_capacity().unwrap_or(0)
}

fn blocks(length: u64) -> u32 {
    u32::try_from(length.div_ceil(BLOCK)).unwrap_or(u32::MAX)
}

impl About<'_> {
    pub fn variant(&self) -> u64 {
        self.name.variant
    }

    /// None if it can't be read.
    pub fn read(&self) -> Option<Bytes> {
        match self.name.is_large {
            true => Large::open(self.folder, self.name).ok().map(|large| large.about),
            false => Opened::open(self.folder, self.name).ok().map(|opened| opened.about),
        }
    }
}

fn lock_of<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing is left half done under this lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
