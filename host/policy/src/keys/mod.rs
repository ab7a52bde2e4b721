//! API keys and their life: made, shown once, used, rotated, revoked.
//!
//! ```text
//! Keyring   all keys of the process. Requests look into an Index, in memory; a change is written to the
//!           Home first, then becomes the next Index
//! Home      where they are kept: the journal, or a store that gateways share, of which the journal is a mirror
//! Record    what is known of a key; of the key itself only a Tag
//! Tag       a keyed hash of it. What it is keyed with is the pepper: a secret of the configuration, or one
//!           that is made at first use and kept beside the keys. Gateways that share keys have to have the same
//! ```

mod draft;
mod error;
mod home;
mod index;
mod life;
mod mirror;
mod parted;
mod pepper;
mod record;
mod shared;
mod text;
mod wanted;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use aws_lc_rs::rand;
use limen_store::{Changes, Gone, Journal, Redis, SharedRecords};
use zeroize::Zeroizing;

pub use error::KeyError;
use home::Home;
use index::Index;
pub use index::{Entry, Refused};
pub use life::Made;
use mirror::Seen;
pub use pepper::Peppers;
pub use record::{Moment, Record, State, Terms, is_scope, now, span, usual_prefix};
pub use text::is_prefix;
pub use wanted::Wanted;

use crate::vault::Secret;

/// The tables of the journal: keys, when they were last used, and a pepper of our own.
const KEYS: &str = "key";
const USES: &str = "key.used";
const PEPPER: &str = "key.pepper";
/// What others have changed is asked for so often: what is revoked elsewhere is to be refused within a second.
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// The last use of keys is written so often.
const NOTE_EVERY: Duration = Duration::from_secs(10);
/// Keys that are over are looked for so often.
const FORGET_EVERY: Duration = Duration::from_secs(3600);

/// All keys of the process.
pub struct Keyring {
    journal: Arc<Journal>,
    home: Home,
    index: ArcSwap<Index>,
    /// What new keys are hashed with, as the last configuration has it.
    peppers: ArcSwap<Peppers>,
    /// Changes come one after another.
    changing: Mutex<Seen>,
}

impl Keyring {
    /// All keys that the journal has. With a store that gateways share they are there, and it has a copy.
    pub fn open(journal: Arc<Journal>, shared: Option<&Arc<Redis>>) -> Result<Arc<Self>, KeyError> {
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
        let (home, seen, every) = match shared {
            None => (Home::File, Seen::default(), NOTE_EVERY),
            Some(redis) => {
                let records = SharedRecords::new(redis.clone(), "key");
                (Home::Shared(records), Seen::open(&journal), FOLLOW_EVERY)
            }
        };
        let keyring = Arc::new(Keyring {
            journal,
            home,
            index: ArcSwap::from_pointee(index),
            peppers: ArcSwap::from_pointee(Peppers::new(None, None)),
            changing: Mutex::new(seen),
        });
        tend(Arc::downgrade(&keyring), every)?;
        Ok(keyring)
    }

    /// The peppers that keys can be checked with: of this secret, or else one of our own, which nobody else has. All
    /// keys in force have to be of one of them, and gateways that share keys have to agree. Until they are
    /// [adopted](Self::adopt) none is made with them, and nobody is told of them.
    pub fn pepper(&self, named: Option<&Secret>) -> Result<Arc<Peppers>, KeyError> {
        let peppers = self.peppers_of(named, named.is_none())?;
        match self.look(&peppers) {
            // Then it serves with what it has, and looks again.
            Ok(()) | Err(KeyError::Away) => {}
            Err(error) => return Err(error),
        }
        // What the file has of a store may have ended since.
        self.check(&peppers)?;
        Ok(Arc::new(peppers))
    }

    /// From now on keys are made with those of this secret, and other gateways told so.
    pub fn adopt(&self, named: Option<&Secret>) {
        let Ok(peppers) = self.peppers_of(named, false) else { return };
        let mut seen = self.lock();
        if self.peppers.load().mark() != peppers.mark() {
            seen.unsettle();
        }
        // What becomes of it, it tells itself.
        let _ = self.follow(&mut seen, &peppers);
        self.peppers.store(peppers.into());
    }

    fn peppers_of(&self, named: Option<&Secret>, is_own_needed: bool) -> Result<Peppers, KeyError> {
        let own = match &self.home {
            Home::File => self.own_pepper(is_own_needed)?,
            Home::Shared(_) => None,
        };
        Ok(Peppers::new(named, own.as_deref().map(Vec::as_slice)))
    }

    /// The one that was made here, or is made now.
    fn own_pepper(&self, is_needed: bool) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
        let made = self.journal.get(PEPPER, b"").map(|made| Zeroizing::new(made.to_vec()));
        if made.is_some() || !is_needed {
            return Ok(made);
        }
        let mut new = Zeroizing::new(vec![0; 32]);
        rand::fill(&mut new).map_err(|_| KeyError::Machine("no random bytes"))?;
        let mut changes = Changes::default();
        changes.put(PEPPER, "", new.to_vec());
        self.journal.write(changes)?;
        Ok(Some(new))
    }

    /// Whether all keys in force are of one of these.
    fn check(&self, peppers: &Peppers) -> Result<(), KeyError> {
        let now = now();
        let index = self.index.load();
        let in_force =
            index.all().map(|entry| &entry.record).filter(|record| record.state(now) == State::Active);
        match in_force.filter(|record| !peppers.have(record.pepper)).count() {
            0 => Ok(()),
            strange => Err(KeyError::Strange(strange)),
        }
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

    /// Tells other gateways when these were last used, and learns what they know of that; as far as they can be asked.
    pub fn learn_uses(&self, entries: &[Arc<Entry>]) {
        let Home::Shared(shared) = &self.home else { return };
        for portion in entries.chunks(SharedRecords::PAGE) {
            let moment = |entry: &Arc<Entry>| (entry.record.id.clone(), entry.used().unwrap_or_default());
            let moments: Vec<_> = portion.iter().map(moment).collect();
            let Ok(latest) = shared.latest(&moments) else { return };
            for (entry, used) in portion.iter().zip(latest) {
                entry.learn(used);
            }
        }
    }

    /// Writes what was used since the last time. Answers which.
    fn note(&self) -> Vec<Arc<Entry>> {
        let mut changes = Changes::default();
        let mut noted = Vec::new();
        for entry in self.index.load().all() {
            if let Some(used) = entry.unnoted() {
                changes.put(USES, entry.record.id.clone(), used.to_le_bytes().to_vec());
                noted.push(entry.clone());
            }
        }
        if let Err(error) = self.journal.write(changes) {
            tracing::warn!("the last use of keys is not written: {error}");
        }
        noted
    }

    /// Drops keys that have ended long ago.
    fn forget(&self) -> Result<(), KeyError> {
        let _one = self.lock();
        let now = now();
        let mut index = Index::clone(&self.index.load());
        let over: Vec<_> = index.all().filter(|entry| entry.record.is_over(now)).cloned().collect();
        let mut changes = Changes::default();
        for entry in &over {
            index.remove(entry);
            changes.remove(KEYS, entry.record.id.clone());
            changes.remove(USES, entry.record.id.clone());
        }
        self.journal.write(changes)?;
        self.index.store(index.into());
        if let Home::Shared(shared) = &self.home {
            for portion in over.chunks(SharedRecords::PAGE) {
                let ids: Vec<_> = portion.iter().map(|entry| entry.record.id.clone()).collect();
                // Who drops it later finds nothing.
                shared.forget(&ids).map_err(|Gone| KeyError::Away)?;
            }
        }
        Ok(())
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
fn tend(keyring: Weak<Keyring>, every: Duration) -> Result<(), KeyError> {
    let thread = std::thread::Builder::new().name("limen-keys".to_owned());
    let tending = move || {
        let (mut noted, mut forgot) = (Instant::now(), None::<Instant>);
        loop {
            std::thread::sleep(every);
            let Some(keyring) = keyring.upgrade() else { return };
            // What becomes of it, it tells itself.
            let _ = keyring.follow(&mut keyring.lock(), &keyring.peppers.load());
            if noted.elapsed() >= NOTE_EVERY {
                noted = Instant::now();
                keyring.learn_uses(&keyring.note());
            }
            if forgot.is_none_or(|forgot| forgot.elapsed() >= FORGET_EVERY) {
                forgot = Some(Instant::now());
                if let Err(error) = keyring.forget() {
                    tracing::warn!("keys that have ended long ago are not forgotten yet: {error}");
                }
            }
        }
    };
    thread.spawn(tending).map_err(|_| KeyError::Machine("can't start a thread"))?;
    Ok(())
}
