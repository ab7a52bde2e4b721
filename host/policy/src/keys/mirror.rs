//! The file's copy of the keys that gateways share in a store.

use std::collections::HashSet;

use limen_store::{Changes, Journal, JournalError};

use super::home::encode;
use super::record::Moment;
use super::{KEYS, Keyring, USES};

/// The table of the journal that says of which keys it is a mirror, and how old that is.
pub const MIRROR: &str = "key.mirror";
const IDENTITY: &str = "identity";
pub const AS_OF: &str = "as of";
/// How old the mirror is, is noted so often, in seconds.
const NOTE_AGE: u64 = 60;

/// What this gateway has seen of a store that it shares.
#[derive(Debug, Default)]
pub struct Seen {
    /// Over which connection it was read; 0: none.
    pub connection: u64,
    pub version: u64,
    /// It has all that this gateway knows.
    pub is_settled: bool,
    /// Which keys these are.
    pub identity: Option<String>,
    /// When the store answered last; and of that, what the file has.
    pub as_of: Moment,
    pub noted: Moment,
    /// Keys that are not like this in the file yet, and whether that was told.
    unmirrored: HashSet<String>,
    is_told: bool,
    /// What was told of why it can't be followed.
    pub trouble: Option<String>,
}

impl Seen {
    /// What the file says of it.
    pub fn open(journal: &Journal) -> Self {
        let identity = journal.get(MIRROR, IDENTITY.as_bytes());
        let as_of = journal.get(MIRROR, AS_OF.as_bytes());
        let as_of = as_of.and_then(|at| Some(u64::from_le_bytes(*at.first_chunk()?))).unwrap_or_default();
        Seen {
            identity: identity.and_then(|text| String::from_utf8(text.into()).ok()),
            as_of,
            noted: as_of,
            ..Seen::default()
        }
    }

    /// The store should be asked for all, and told what it lacks.
    pub fn unsettle(&mut self) {
        (self.connection, self.is_settled) = (0, false);
    }

    /// The file should have these as they are now.
    pub fn mirror_later(&mut self, ids: impl IntoIterator<Item = String>) {
        self.unmirrored.extend(ids);
    }
}

impl Keyring {
    /// Writes to the file what it does not have. It is not what makes a change: what fails is tried again.
    pub(super) fn mirror(&self, seen: &mut Seen) {
        let mut changes = Changes::default();
        let index = self.index.load();
        for id in &seen.unmirrored {
            match index.get(id).map(|entry| encode(&entry.record)) {
                Some(Ok(record)) => changes.put(KEYS, id.clone(), record),
                Some(Err(_)) => {}
                None => {
                    changes.remove(KEYS, id.clone());
                    changes.remove(USES, id.clone());
                }
            }
        }
        if let Some(identity) = &seen.identity
            && self.journal.get(MIRROR, IDENTITY.as_bytes()).as_deref() != Some(identity.as_bytes())
        {
            changes.put(MIRROR, IDENTITY, identity.clone());
        }
        if seen.as_of > seen.noted + NOTE_AGE || (!changes.is_empty() && seen.as_of > seen.noted) {
            changes.put(MIRROR, AS_OF, seen.as_of.to_le_bytes().to_vec());
        }
        if changes.is_empty() {
            return;
        }
        match self.journal.write(changes) {
            Ok(()) => {
                (seen.noted, seen.is_told) = (seen.as_of, false);
                seen.unmirrored.clear();
            }
            // The process that takes over follows as well.
            Err(JournalError::HandedOver) => {}
            Err(error) if !seen.is_told => {
                tracing::error!("API keys that have changed are in force, and not in the file yet: {error}");
                seen.is_told = true;
            }
            Err(_) => {}
        }
    }
}
