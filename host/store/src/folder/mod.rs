//! A folder of what can be got again, by key: bounded, private, and there after a restart.
//!
//! What is in it an index in memory knows, which asks no disk; it is made anew of the names of the files. All else
//! waits for the disk: never on a worker. Nothing is trusted that is read: a file that is damaged is as good as none,
//! and goes.

mod file;

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use file::{HEAD, Name, Opened, UNFINISHED, remove};

/// What is asked for.
pub type Key = u128;

/// What one file takes of the disk is a multiple of this, as most file systems have it.
const BLOCK: u64 = 4096;
const LOCK: &str = "lock";

/// Files by key. Of one key there may be several variants.
pub struct Folder {
    path: PathBuf,
    index: Cache<Key, Arc<[Slot]>>,
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
}

/// What is told of a file, to be looked at.
pub struct About<'a> {
    folder: &'a Path,
    name: Name,
}

impl Folder {
    /// Makes the folder if there is none, and makes sure that nobody else can look or put anything into it.
    pub fn prepare(path: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let found = fs::metadata(path)?;
        let wrong = if found.uid() != rustix::process::geteuid().as_raw() {
            "it belongs to another user"
        } else if found.mode() & 0o077 != 0 {
            "it is open to others (chmod 700 closes it)"
        } else {
            return Ok(());
        };
        Err(io::Error::other(wrong))
    }

    /// Opens it, `size` bytes of files at most, and finds what is there. Waits until no other process has it.
    pub fn open(path: &Path, size: u64, variants: usize) -> io::Result<Self> {
        Self::prepare(path)?;
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

    /// How many bytes of the disk a key takes. Asks no disk.
    pub fn length(&self, key: Key) -> u64 {
        self.index.get(&key).map_or(0, |slots| slots.iter().map(Slot::length).sum())
    }

    /// What there is of a key, what was written last first: variant, about and content. The first one, and as many
    /// more as make `most` bytes.
    pub fn read(&self, key: Key, most: u64) -> Vec<(u64, Bytes, Bytes)> {
        let slots = self.index.get(&key);
        let mut length = 0;
        let fits = |slot: &&Slot| {
            let is_first = length == 0;
            length += slot.length();
            is_first || length <= most
        };
        let read = |slot: &Slot| {
            let name = slot.name(key);
            let opened = Opened::open(&self.path, name);
            let whole = opened.and_then(|opened| Ok((slot.variant, opened.about.clone(), opened.content()?)));
            whole.map_err(|error| self.lose(name, &error)).ok()
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
        let has_room = length.div_ceil(BLOCK) <= self.index.policy().max_capacity().unwrap_or(0);
        let name = Name { key, variant, serial: self.serial.fetch_add(1, Ordering::Relaxed) };
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

    fn add(&self, name: Name, length: u64, is_good: impl Fn() -> bool) {
        let blocks = u32::try_from(length.div_ceil(BLOCK)).unwrap_or(u32::MAX);
        let slot = Slot { variant: name.variant, serial: name.serial, blocks };
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
            for slot in slots.iter() {
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

    /// It is not there, or of no use as it is.
    fn lose(&self, name: Name, error: &io::Error) {
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
    fn length(&self) -> u64 {
        u64::from(self.blocks) * BLOCK
    }

    fn name(&self, key: Key) -> Name {
        Name { key, variant: self.variant, serial: self.serial }
    }
}

impl About<'_> {
    /// None if it can't be read.
    pub fn read(&self) -> Option<Bytes> {
        Opened::open(self.folder, self.name).ok().map(|opened| opened.about)
    }
}

fn lock_of<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing is left half done under this lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn open(above: &tempfile::TempDir, size: u64) -> Folder {
        Folder::open(&above.path().join("cache"), size, 2).unwrap()
    }

    fn contents(folder: &Folder, key: Key) -> Vec<String> {
        let read = folder.read(key, u64::MAX).into_iter();
        read.map(|(variant, about, content)| {
            format!("{variant} {} {}", str::from_utf8(&about).unwrap(), str::from_utf8(&content).unwrap())
        })
        .collect()
    }

    fn files(above: &tempfile::TempDir) -> usize {
        fs::read_dir(above.path().join("cache")).unwrap().count() - 1
    }

    #[test]
    fn what_was_written_is_there_after_a_restart() {
        let above = tempfile::tempdir().unwrap();
        let folder = open(&above, 1 << 20);
        for (variant, content) in [(1, "old"), (2, "two"), (1, "new")] {
            folder.write(7, variant, b"a", content.as_bytes(), || true).unwrap();
        }
        folder.write(8, 1, b"", b"", || true).unwrap();
        let both = ["1 a new", "2 a two"];
        assert_eq!((contents(&folder, 7), files(&above)), (both.map(str::to_owned).to_vec(), 3));
        drop(folder);
        let half = above
            .path()
            .join("cache")
            .join(format!("{UNFINISHED}{}", Name { key: 9, variant: 1, serial: 99 }.text()));
        fs::write(&half, "half").unwrap();
        fs::write(above.path().join("cache/notes.txt"), "not its own").unwrap();
        let folder = open(&above, 1 << 20);
        assert_eq!(contents(&folder, 7), both);
        assert!(!half.exists() && above.path().join("cache/notes.txt").exists());
        folder.write(7, 3, b"a", b"three", || true).unwrap();
        assert_eq!(contents(&folder, 7), ["3 a three", "1 a new"], "no more than so many variants");
        folder.forget(7);
        assert_eq!((folder.count(7), folder.count(8)), (0, 1));
        folder.sweep();
        assert_eq!(files(&above), 2, "that of 8, and the notes");
    }

    #[test]
    fn its_size_is_bounded_and_what_was_used_last_stays() {
        let above = tempfile::tempdir().unwrap();
        let folder = open(&above, 10 * BLOCK);
        for key in 0..30 {
            folder.write(key, 0, b"", &[1; 3000], || true).unwrap();
            assert_eq!(folder.read(0, u64::MAX).len(), 1, "{key}");
        }
        assert!((8..=10).contains(&files(&above)), "{}", files(&above));
        assert!(folder.extent().0 <= 10 * BLOCK);
        folder.write(99, 0, b"", &vec![1; 11 * BLOCK as usize], || true).unwrap();
        assert_eq!(folder.count(99), 0, "longer than all of it");
        drop(folder);
        assert!(open(&above, 5 * BLOCK).extent().0 <= 5 * BLOCK && files(&above) <= 5, "a smaller one");
    }

    #[test]
    fn what_can_not_be_written_is_not_there_as_it_was_before() {
        let above = tempfile::tempdir().unwrap();
        let folder = open(&above, 10 * BLOCK);
        let write = |content: &[u8], is_good: bool| folder.write(7, 1, b"a", content, || is_good);
        write(b"old", true).unwrap();
        write(b"new", false).unwrap();
        assert_eq!((contents(&folder, 7), files(&above)), (vec!["1 a old".to_owned()], 1), "it is not good");
        write(&vec![1; 11 * BLOCK as usize], true).unwrap();
        assert_eq!((folder.count(7), files(&above)), (0, 0), "it is too long");
        write(b"old", true).unwrap();
        fs::remove_dir_all(above.path().join("cache")).unwrap();
        assert!(write(b"new", true).is_err());
        assert_eq!(folder.count(7), 0);
    }

    #[test]
    fn no_more_is_read_than_is_wanted_but_the_first() {
        let above = tempfile::tempdir().unwrap();
        let folder = open(&above, 1 << 20);
        for variant in 1..=2 {
            folder.write(7, variant, b"", &[1; 3 * BLOCK as usize], || true).unwrap();
        }
        assert_eq!(folder.length(7), 8 * BLOCK);
        let read = |most| folder.read(7, most).into_iter().map(|(variant, ..)| variant).collect::<Vec<_>>();
        assert_eq!((read(0), read(7 * BLOCK), read(8 * BLOCK)), (vec![2], vec![2], vec![2, 1]));
    }

    #[test]
    fn a_damaged_file_is_none_and_goes() {
        let above = tempfile::tempdir().unwrap();
        let folder = open(&above, 1 << 20);
        folder.write(7, 1, b"a", b"content", || true).unwrap();
        let mut paths = fs::read_dir(above.path().join("cache")).unwrap().map(|entry| entry.unwrap().path());
        let path = paths.find(|path| !path.ends_with(LOCK)).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(contents(&folder, 7), Vec::<String>::new());
        assert!(!path.exists() && folder.count(7) == 0 && folder.extent().1 == 1);
        // One that somebody has removed is nothing to speak of.
        folder.write(7, 1, b"a", b"content", || true).unwrap();
        fs::remove_dir_all(above.path().join("cache")).unwrap();
        assert!(folder.read(7, u64::MAX).is_empty() && folder.extent().1 == 1);
    }

    #[test]
    fn those_are_removed_that_are_such() {
        let above = tempfile::tempdir().unwrap();
        let folder = open(&above, 1 << 20);
        for (key, about) in [(1, "a"), (2, "b"), (3, "a")] {
            folder.write(key, 5, about.as_bytes(), b"", || true).unwrap();
        }
        let removed = folder.remove_such(|_, about| about.read().is_some_and(|about| about == "a"));
        assert_eq!(removed, [(1, 5), (3, 5)].into());
        assert_eq!(files(&above), 1);
        assert_eq!(folder.remove_such(|key, _| key == 2).len(), 1);
    }

    #[test]
    fn a_folder_of_others_is_not_used() {
        let above = tempfile::tempdir().unwrap();
        drop(open(&above, 1 << 20));
        let path = above.path().join("cache");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(Folder::open(&path, 1, 1).is_err());
    }
}
