//! What has to outlive the process of a gateway alone: keys and values in a file.
//!
//! Everything is in memory, and every change is appended to the file: it is acknowledged when the disk has
//! it. A file that was cut off at any byte, by a crash or by whoever, opens with every change that was whole
//! before the cut, and none by half. What changes so often that the disk can't be waited for each time is [noted](Journal::note)
//! first: that outlives the process at once, and the machine a little later. (A file of pages that are written in place could not; and what gateways
//! keep, keys and counts, they have in memory anyway.) When most of the file is history it is written anew.

mod error;
mod file;
mod recent;
mod record;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

pub use error::JournalError;
use file::LogFile;

/// A file is written anew when it is larger than this, in bytes ...
const SMALL: u64 = 1 << 20;
/// ... and this many times as large as what is in force of it.
const MOSTLY_HISTORY: u64 = 4;

/// So many values are forgotten at a time.
const PORTION: usize = 100_000;

/// How long a process that ends may hold the file.
const TAKE_BACK: Duration = Duration::from_secs(2);

/// Tables of keys and values, in a file that this process holds.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    tables: Tables,
    /// Noted, and not yet on the disk.
    pending: Pending,
    keeping: Keeping,
}

/// Where changes go.
#[derive(Debug)]
enum Keeping {
    File(LogFile),
    /// Another process has the file, and this one waits for what becomes of that.
    HandedOver,
    /// Nowhere: of a configuration that is only checked.
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
        Ok(Journal {
            path: path.to_owned(),
            inner: Mutex::new(Inner { tables, pending: Pending::default(), keeping: Keeping::File(file) }),
        })
    }

    /// One that forgets.
    pub fn nowhere() -> Journal {
        let inner =
            Inner { tables: Tables::default(), pending: Pending::default(), keeping: Keeping::Nowhere };
        Journal { path: PathBuf::new(), inner: Mutex::new(inner) }
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
            let mut inner = self.lock();
            let named = inner.tables.all().filter(|(table, ..)| table.starts_with(tables));
            let past = named.filter(|(_, _, value)| is_past(value)).take(PORTION);
            let past =
                past.map(|(table, key, _)| Change { table: table.clone(), key: key.clone(), value: None });
            let past = Changes(past.collect());
            if past.is_empty() {
                return Ok(());
            }
            inner.write(past)?;
        }
    }

    /// Makes changes that outlive this process from now on, and a crash of the machine from the next
    /// [`Journal::write`] on, which has to follow within the moment that may be lost.
    pub fn note(&self, changes: Changes) -> Result<(), JournalError> {
        let mut inner = self.lock();
        let Inner { tables, pending, keeping } = &mut *inner;
        match keeping {
            Keeping::File(file) => {
                file.note(&changes);
                pending.add(changes.clone());
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
        self.lock().write(changes)
    }

    /// Lets another process have the file, one that takes over: until [`Journal::take_back`] there are
    /// no changes.
    pub fn hand_over(&self) {
        let mut inner = self.lock();
        if let Keeping::File(_) = inner.keeping {
            inner.keeping = Keeping::HandedOver;
        }
    }

    /// The other process is not going to have it.
    pub fn take_back(&self) -> Result<(), JournalError> {
        let mut inner = self.lock();
        if let Keeping::HandedOver = inner.keeping {
            let (file, tables) = LogFile::open_soon(&self.path, TAKE_BACK)?;
            // What was noted is in the file, or that of the other process is newer.
            *inner = Inner { tables, pending: Pending::default(), keeping: Keeping::File(file) };
        }
        Ok(())
    }

    /// A panic while it was held changed nothing by half: the tables change last.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self, changes: Changes) -> Result<(), JournalError> {
        let Inner { tables, pending, keeping } = self;
        if changes.is_empty() && pending.0.is_empty() {
            return Ok(());
        }
        match keeping {
            Keeping::File(file) => file.append(&pending.and(&changes), tables)?,
            Keeping::HandedOver => return Err(JournalError::HandedOver),
            Keeping::Nowhere => {}
        }
        pending.0.clear();
        tables.apply(changes);
        if let Keeping::File(file) = keeping
            && file.length() > SMALL.max(tables.size.saturating_mul(MOSTLY_HISTORY))
        {
            // The change is made, whatever becomes of this.
            if let Err(error) = file.rewrite(tables) {
                tracing::error!("{error}");
            }
        }
        Ok(())
    }
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
