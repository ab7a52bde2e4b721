//! What has to outlive the process of a gateway alone: keys and values in a file.
//!
//! Everything is in memory, and every change is appended to the file: it is acknowledged when the disk has
//! it. A file that was cut off at any byte, by a crash or by whoever, opens with every change that was whole
//! before the cut, and none by half. (A file of pages that are written in place could not; and what gateways
//! keep, keys and counts, they have in memory anyway.) When most of the file is history it is written anew.
//!
//! What changes so often that the disk can't be waited for each time is [noted](Journal::note): that outlives the
//! process at once, and the machine a little later, when a thread has written all that was noted as one record.
//!
//! Two locks are taken in this order: `writing` by whoever waits for the disk, one at a time, and `inner` for moments. So
//! who notes waits for no disk; only while the file is written anew it waits until the kernel has all of it.

mod error;
mod file;
mod recent;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;

pub use error::JournalError;
use file::LogFile;

/// A file is written anew when it is larger than this, in bytes ...
const SMALL: u64 = 1 << 20;
/// ... and this many times as large as what is in force of it.
const MOSTLY_HISTORY: u64 = 4;

/// So many values are forgotten at a time.
const PORTION: usize = 100_000;

/// What was noted is on the disk this much later, as long as the disk can be written; and that often it is tried.
const SAVE_AFTER: Duration = Duration::from_millis(250);

/// How long a process that ends may hold the file.
const TAKE_BACK: Duration = Duration::from_secs(2);

/// Tables of keys and values, in a file that this process holds.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    shared: Arc<Shared>,
    /// Begins with what is first noted. None: there could be no thread.
    saver: OnceLock<Option<JoinHandle<()>>>,
}

/// What the saver has of it, too.
#[derive(Debug)]
struct Shared {
    writing: Mutex<()>,
    inner: Mutex<Inner>,
    /// There is something for the saver.
    news: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    tables: Tables,
    /// Noted since the file was last written to; `tables` have it as well.
    pending: Pending,
    /// Since when there is something that the disk does not have.
    unsaved: Option<Instant>,
    keeping: Keeping,
    /// Nobody notes any more.
    is_over: bool,
}

/// Where changes go.
#[derive(Debug, Default)]
enum Keeping {
    File(LogFile),
    /// Another process has the file, and this one waits for what becomes of that.
    HandedOver,
    /// Nowhere: of a configuration that is only checked.
    #[default]
    Nowhere,
}

/// Changes that are made all together, or not at all.
#[derive(Clone, Debug, Default)]
pub struct Changes(Vec<Change>);

#[derive(Clone, Debug)]
struct Change {
    table: Arc<str>,
    key: Bytes,
    /// None: removed.
    value: Option<Bytes>,
}

impl Changes {
    /// A table's name has at most 255 bytes.
    pub fn put(&mut self, table: &str, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.0.push(Change { table: table.into(), key: key.into(), value: Some(value.into()) });
    }

    pub fn remove(&mut self, table: &str, key: impl Into<Bytes>) {
        self.0.push(Change { table: table.into(), key: key.into(), value: None });
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Journal {
    /// Opens the file, or makes it, with its folder; both for this user alone. No other process can until
    /// this one ends.
    pub fn open(path: &Path) -> Result<Journal, JournalError> {
        let (file, tables) = LogFile::open(path)?;
        Ok(Journal::of(path, Inner { tables, keeping: Keeping::File(file), ..Inner::default() }))
    }

    /// One that forgets.
    pub fn nowhere() -> Journal {
        Journal::of(Path::new(""), Inner::default())
    }

    fn of(path: &Path, inner: Inner) -> Journal {
        let shared = Shared { writing: Mutex::default(), inner: Mutex::new(inner), news: Condvar::new() };
        Journal { path: path.to_owned(), shared: Arc::new(shared), saver: OnceLock::new() }
    }

    /// Whether it forgets.
    pub fn is_nowhere(&self) -> bool {
        self.path.as_os_str().is_empty()
    }

    pub fn get(&self, table: &str, key: &[u8]) -> Option<Bytes> {
        self.lock().tables.by_name.get(table)?.get(key).cloned()
    }

    /// All of a table, in the order of its keys: for when a process starts.
    pub fn entries(&self, table: &str) -> Vec<(Bytes, Bytes)> {
        let inner = self.lock();
        let entries = inner.tables.by_name.get(table).into_iter().flatten();
        entries.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Removes the values that are past from all tables whose names begin like this, in portions. A table that is empty
    /// then is none. Waits for the disk, as [`Journal::write`] does.
    pub fn forget(&self, tables: &str, is_past: impl Fn(&[u8]) -> bool) -> Result<(), JournalError> {
        loop {
            let mut is_done = false;
            self.shared.write(|all| {
                let named = all.all().filter(|(table, ..)| table.starts_with(tables));
                let past = named.filter(|(_, _, value)| is_past(value)).take(PORTION);
                let past = past.map(|(table, key, _)| Change {
                    table: table.clone(),
                    key: key.clone(),
                    value: None,
                });
                let past = Changes(past.collect());
                is_done = past.is_empty();
                past
            })?;
            if is_done {
                return Ok(());
            }
        }
    }

    /// Makes changes that outlive this process from now on, and a crash of the machine a moment later. Waits for no
    /// disk.
    pub fn note(&self, changes: Changes) -> Result<(), JournalError> {
        let mut inner = self.lock();
        let Inner { tables, pending, unsaved, keeping, .. } = &mut *inner;
        match keeping {
            Keeping::File(file) => {
                file.note(&changes);
                pending.add(changes.clone());
                if unsaved.is_none() {
                    *unsaved = Some(Instant::now());
                    self.shared.news.notify_one();
                }
                self.saver.get_or_init(|| saver(self.shared.clone()));
            }
            Keeping::HandedOver => return Err(JournalError::HandedOver),
            Keeping::Nowhere => {}
        }
        tables.apply(changes);
        Ok(())
    }

    /// Makes the changes, with those that were noted, and returns when they are on the disk. After an error they
    /// may be there or not. Waits for the disk: never on a worker.
    pub fn write(&self, changes: Changes) -> Result<(), JournalError> {
        self.shared.write(|_| changes)
    }

    /// Lets another process have the file, one that takes over: until [`Journal::take_back`] there are
    /// no changes. What was noted it finds there.
    pub fn hand_over(&self) {
        let _alone = lock(&self.shared.writing);
        let mut inner = self.lock();
        if let Keeping::File(_) = inner.keeping {
            inner.keeping = Keeping::HandedOver;
            inner.pending = Pending::default();
            inner.unsaved = None;
        }
    }

    /// The other process is not going to have it.
    pub fn take_back(&self) -> Result<(), JournalError> {
        let _alone = lock(&self.shared.writing);
        if matches!(self.lock().keeping, Keeping::HandedOver) {
            let (file, tables) = LogFile::open_soon(&self.path, TAKE_BACK)?;
            let mut inner = self.lock();
            // What was noted is in the file, or that of the other process is newer.
            (inner.tables, inner.keeping) = (tables, Keeping::File(file));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.shared.lock()
    }
}

impl Drop for Journal {
    /// What was noted and is not on the disk is there for the next process. The file is let go.
    fn drop(&mut self) {
        self.lock().is_over = true;
        self.shared.news.notify_one();
        if let Some(Some(saver)) = self.saver.take() {
            let _ = saver.join();
        }
    }
}

/// Writes what was noted.
fn saver(shared: Arc<Shared>) -> Option<JoinHandle<()>> {
    let thread = thread::Builder::new().name("limen-journal".to_owned()).spawn(move || shared.save_on());
    let failed = "what is noted would be lost in a crash of the machine, there can be no thread for it";
    thread.inspect_err(|error| tracing::error!("{failed}: {error}")).ok()
}

impl Shared {
    /// Until nobody notes any more.
    fn save_on(&self) {
        let mut told = false;
        let mut inner = self.lock();
        while !inner.is_over {
            let left = inner.unsaved.map(|since| SAVE_AFTER.saturating_sub(since.elapsed()));
            inner = match left {
                None => self.news.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    drop(inner);
                    match self.write(|_| Changes::default()) {
                        Ok(()) => told = false,
                        Err(JournalError::HandedOver) => {}
                        Err(error) => {
                            if !std::mem::replace(&mut told, true) {
                                tracing::warn!("what changes is in memory alone at the moment: {error}");
                            }
                        }
                    }
                    self.lock()
                }
                Some(left) => self.news.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// Makes changes to what is there, with what was noted, as one record.
    fn write(&self, changes: impl FnOnce(&Tables) -> Changes) -> Result<(), JournalError> {
        let _alone = lock(&self.writing);
        if self.lock().is_given_up() {
            self.rewrite()?;
        }
        let mut inner = self.lock();
        let changes = changes(&inner.tables);
        let Inner { tables, pending, unsaved, keeping, .. } = &mut *inner;
        let appended = match keeping {
            Keeping::HandedOver => return Err(JournalError::HandedOver),
            Keeping::Nowhere => {
                tables.apply(changes);
                return Ok(());
            }
            Keeping::File(_) if changes.is_empty() && pending.0.is_empty() => {
                *unsaved = None;
                return Ok(());
            }
            Keeping::File(file) => file.append(&std::mem::take(pending).and(&changes)),
        };
        *unsaved = None;
        drop(inner);
        appended.and_then(|record| record.sync()).inspect_err(|_| self.lock().give_up())?;

        let mut inner = self.lock();
        let Inner { tables, pending, .. } = &mut *inner;
        // What was noted meanwhile is newer.
        tables.apply(Changes(changes.0.into_iter().filter(|change| !pending.has(change)).collect()));
        if inner.is_mostly_history() {
            drop(inner);
            // The change is made, whatever becomes of this.
            let _ = self.rewrite().inspect_err(|error| tracing::error!("{error}"));
        }
        Ok(())
    }

    /// Writes all there is into a new file.
    fn rewrite(&self) -> Result<(), JournalError> {
        self.try_rewrite().inspect_err(|_| self.lock().give_up())
    }

    fn try_rewrite(&self) -> Result<(), JournalError> {
        let mut inner = self.lock();
        let Inner { tables, pending, unsaved, keeping, .. } = &mut *inner;
        let Keeping::File(file) = keeping else { return Ok(()) };
        let whole = file.write_whole(tables)?;
        *pending = Pending::default();
        *unsaved = None;
        drop(inner);
        whole.file.sync()?;

        let mut inner = self.lock();
        let Inner { pending, keeping, .. } = &mut *inner;
        let Keeping::File(file) = keeping else { return Ok(()) };
        let folder = file.replace(whole)?;
        // What was noted meanwhile was noted of the file before.
        if !pending.0.is_empty() {
            file.note(&pending.changes());
        }
        drop(inner);
        folder.sync()
    }

    /// A panic while it was held changed nothing by half: the tables change last.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Inner {
    /// The disk does not take it. What was noted is in the tables, and all of them are written anew when it does.
    fn give_up(&mut self) {
        if let Keeping::File(file) = &mut self.keeping {
            file.give_up();
        }
        self.pending = Pending::default();
        self.unsaved = Some(Instant::now());
    }

    fn is_given_up(&self) -> bool {
        matches!(&self.keeping, Keeping::File(file) if file.is_given_up())
    }

    fn is_mostly_history(&self) -> bool {
        let bound = SMALL.max(self.tables.size.saturating_mul(MOSTLY_HISTORY));
        matches!(&self.keeping, Keeping::File(file) if file.length() > bound)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last change of each key.
#[derive(Debug, Default)]
struct Pending(BTreeMap<(Arc<str>, Bytes), Option<Bytes>>);

impl Pending {
    fn add(&mut self, changes: Changes) {
        self.0.extend(changes.0.into_iter().map(|Change { table, key, value }| ((table, key), value)));
    }

    fn changes(&self) -> Changes {
        let all = self.0.iter().map(|((table, key), value)| Change {
            table: table.clone(),
            key: key.clone(),
            value: value.clone(),
        });
        Changes(all.collect())
    }

    fn has(&self, Change { table, key, .. }: &Change) -> bool {
        self.0.contains_key(&(table.clone(), key.clone()))
    }

    /// These, and then those.
    fn and(&self, changes: &Changes) -> Changes {
        let Changes(mut all) = self.changes();
        all.extend(changes.0.iter().cloned());
        Changes(all)
    }
}

/// What is in force.
#[derive(Debug, Default)]
struct Tables {
    by_name: BTreeMap<Arc<str>, BTreeMap<Bytes, Bytes>>,
    /// Of keys and values, in bytes.
    size: u64,
}

impl Tables {
    fn apply(&mut self, changes: Changes) {
        for Change { table, key, value } in changes.0 {
            let entries = self.by_name.entry(table.clone()).or_default();
            let length = key.len();
            let (new, old) = match value {
                // Copied, lest it keep all of the file in memory that it was read from.
                Some(value) => {
                    let value = Bytes::copy_from_slice(&value);
                    let new = length + value.len();
                    (new, entries.insert(Bytes::copy_from_slice(&key), value))
                }
                None => (0, entries.remove(&key)),
            };
            let old = old.map_or(0, |old| length + old.len());
            if entries.is_empty() {
                self.by_name.remove(&table);
            }
            self.size = (self.size + new as u64).saturating_sub(old as u64);
        }
    }

    fn all(&self) -> impl Iterator<Item = (&Arc<str>, &Bytes, &Bytes)> {
        self.by_name
            .iter()
            .flat_map(|(table, entries)| entries.iter().map(move |(key, value)| (table, key, value)))
    }
}
