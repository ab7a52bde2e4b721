//! API keys and their life: made, shown once, used, rotated, revoked.
//!
//! ```text
//! Keyring   all keys of the process. Requests look into an Index, in memory; a change is written to the
//!           journal first, then becomes the next Index
//! Record    what is known of a key; of the key itself only a Tag
//! Tag       a keyed hash of it. What it is keyed with is the pepper: a secret of the configuration, or one
//!           that is made at first use and kept beside the keys
//! ```

mod index;
mod life;
mod pepper;
mod record;
mod text;
mod wanted;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use aws_lc_rs::rand;
use limen_store::{Changes, Journal, JournalError};
use zeroize::Zeroizing;

use index::Index;
pub use index::{Entry, Refused};
pub use life::Made;
pub use pepper::Peppers;
pub use record::{Moment, Record, State, Terms, is_scope, now, span, usual_prefix};
pub use text::is_prefix;
pub use wanted::Wanted;

use crate::vault::Secret;

/// The tables of the journal: keys, when they were last used, and a pepper of our own.
const KEYS: &str = "key";
const USES: &str = "key.used";
const PEPPER: &str = "key.pepper";
/// The last use of keys is written so often.
const NOTE_EVERY: Duration = Duration::from_secs(10);

/// All keys of the process.
pub struct Keyring {
    journal: Arc<Journal>,
    index: ArcSwap<Index>,
    /// What new keys are hashed with, as the last configuration has it.
    peppers: ArcSwap<Peppers>,
    /// Changes come one after another.
    changing: Mutex<()>,
}

/// Why a change was not made.
#[derive(Debug)]
pub enum KeyError {
    /// There is no such key.
    Unknown,
    /// What is asked for can't be.
    Invalid(String),
    /// It can't be done to a key that stands like this one.
    Conflict(String),
    Store(JournalError),
    Machine(&'static str),
}

impl Keyring {
    /// All keys that the journal has.
    pub fn open(journal: Arc<Journal>) -> Result<Arc<Self>, KeyError> {
        let mut index = Index::default();
        for (id, bytes) in journal.entries(KEYS) {
            let entry = entry(&journal, &id, &bytes).map_err(|error| {
                KeyError::Invalid(format!(
                    "key {} of the store can't be read: {error}",
                    String::from_utf8_lossy(&id)
                ))
            })?;
            index.insert(Arc::new(entry));
        }
        let keyring = Arc::new(Keyring {
            journal,
            index: ArcSwap::from_pointee(index),
            peppers: ArcSwap::from_pointee(Peppers::new(None, None)),
            changing: Mutex::default(),
        });
        note_uses(Arc::downgrade(&keyring))?;
        Ok(keyring)
    }

    /// The peppers that keys are checked with from now on: of this secret, or else one of our own. All keys in
    /// force have to be of one of them.
    pub fn pepper(&self, named: Option<&Secret>) -> Result<Arc<Peppers>, KeyError> {
        let _one = self.change();
        let mut made = self.journal.get(PEPPER, b"").map(|made| Zeroizing::new(made.to_vec()));
        if named.is_none() && made.is_none() {
            let mut new = Zeroizing::new(vec![0; 32]);
            rand::fill(&mut new).map_err(|_| KeyError::Machine("no random bytes"))?;
            let mut changes = Changes::default();
            changes.put(PEPPER, "", new.to_vec());
            self.journal.write(changes)?;
            made = Some(new);
        }
        let peppers = Arc::new(Peppers::new(named, made.as_ref().map(|made| made.as_slice())));
        let now = now();
        let index = self.index.load();
        let in_force =
            index.all().map(|entry| &entry.record).filter(|record| record.state(now) == State::Active);
        let strange = in_force.filter(|record| !peppers.have(record.pepper)).count();
        if strange > 0 {
            let what = format!("{strange} keys in the store were hashed with another pepper than this one");
            return Err(KeyError::Invalid(what));
        }
        self.peppers.store(peppers.clone());
        Ok(peppers)
    }

    /// For a request: the keys at this moment.
    pub fn at_hand(&self) -> AtHand {
        AtHand(self.index.load())
    }

    pub fn get(&self, id: &str) -> Option<Arc<Entry>> {
        self.index.load().get(id).cloned()
    }

    /// All of them, the oldest first.
    pub fn list(&self) -> Vec<Arc<Entry>> {
        let mut all: Vec<_> = self.index.load().all().cloned().collect();
        all.sort_by(|one, other| {
            (one.record.created, &one.record.id).cmp(&(other.record.created, &other.record.id))
        });
        all
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes these records, and has them in force when the disk has them. The caller holds `change`.
    fn keep(&self, records: Vec<Record>) -> Result<(), KeyError> {
        let mut changes = Changes::default();
        let mut index = Index::clone(&self.index.load());
        for record in records {
            let bytes =
                serde_json::to_vec(&record).map_err(|_| KeyError::Machine("it can't be written as JSON"))?;
            changes.put(KEYS, record.id.clone(), bytes);
            let entry = match index.get(&record.id) {
                Some(known) => known.renew(record),
                None => Entry::new(record, 0),
            };
            index.insert(Arc::new(entry.map_err(KeyError::Invalid)?));
        }
        self.journal.write(changes)?;
        self.index.store(Arc::new(index));
        Ok(())
    }

    /// Writes what was used since the last time.
    fn note(&self) {
        let mut changes = Changes::default();
        for entry in self.index.load().all() {
            if let Some(used) = entry.unnoted() {
                changes.put(USES, entry.record.id.clone(), used.to_le_bytes().to_vec());
            }
        }
        if let Err(error) = self.journal.write(changes) {
            tracing::warn!("the last use of keys is not written: {error}");
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("keys", &self.index.load().len()).finish_non_exhaustive()
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        self.note();
    }
}

/// The keys as they are at one moment.
pub struct AtHand(Guard<Arc<Index>>);

impl AtHand {
    /// The key that a request has brought, if it has this prefix and is in force.
    pub fn find(&self, text: &str, prefix: &str, peppers: &Peppers) -> Result<&Arc<Entry>, Refused> {
        self.0.find(text, prefix, peppers, now())
    }
}

fn entry(journal: &Journal, id: &[u8], bytes: &[u8]) -> Result<Entry, String> {
    let record: Record = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let used = journal.get(USES, id).and_then(|used| Some(u64::from_le_bytes(*used.first_chunk()?)));
    Entry::new(record, used.unwrap_or_default())
}

/// A thread that lives as long as the keyring.
fn note_uses(keyring: Weak<Keyring>) -> Result<(), KeyError> {
    let thread = std::thread::Builder::new().name("limen-keys".to_owned());
    let noting = move || {
        loop {
            std::thread::sleep(NOTE_EVERY);
            let Some(keyring) = keyring.upgrade() else { return };
            keyring.note();
        }
    };
    thread.spawn(noting).map_err(|_| KeyError::Machine("can't start a thread"))?;
    Ok(())
}

impl From<JournalError> for KeyError {
    fn from(error: JournalError) -> Self {
        KeyError::Store(error)
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyError::Unknown => f.write_str("there is no such key"),
            KeyError::Invalid(what) | KeyError::Conflict(what) => f.write_str(what),
            KeyError::Store(error) => {
                let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
                write!(f, "{error}{hint}")
            }
            KeyError::Machine(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for KeyError {}
