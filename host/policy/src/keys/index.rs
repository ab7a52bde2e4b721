//! All keys, for requests to look one up: never changed, only replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::parted::Parted;
use super::pepper::{KeyDigest, Peppers, Tag};
use super::record::{Moment, Record, State};
use super::text::Parts;
use crate::Consumer;

/// A key in force, or one that was.
#[derive(Debug)]
pub struct Entry {
    pub record: Record,
    pub consumer: Consumer,
    /// When it was last used; 0: not yet.
    used: AtomicU64,
    /// Of `used`, what the store has.
    noted: AtomicU64,
}

impl Entry {
    pub fn new(record: Record, used: Moment) -> Result<Self, String> {
        let consumer = record.consumer()?;
        Ok(Entry { record, consumer, used: used.into(), noted: used.into() })
    }

    /// The same key, of which something else is known now.
    pub fn renew(&self, record: Record) -> Result<Self, String> {
        let renewed = Entry::new(record, self.used.load(Relaxed))?;
        renewed.noted.store(self.noted.load(Relaxed), Relaxed);
        Ok(renewed)
    }

    pub fn used(&self) -> Option<Moment> {
        Some(self.used.load(Relaxed)).filter(|used| *used > 0)
    }

    /// It is used now. Written once in a second at most, so that workers don't take it from one another.
    fn touch(&self, now: Moment) {
        if self.used.load(Relaxed) < now {
            self.used.store(now, Relaxed);
        }
    }

    /// It was used at that moment, as others know.
    pub fn learn(&self, used: Moment) {
        self.used.fetch_max(used, Relaxed);
    }

    /// When it was last used, if the store does not know yet.
    pub fn unnoted(&self) -> Option<Moment> {
        let used = self.used.load(Relaxed);
        (self.noted.swap(used, Relaxed) != used).then_some(used)
    }
}

/// Why a key is not accepted. For the log: it has the id at most, and never the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not a key, or its checksum is wrong.
    Malformed,
    OtherPrefix(String),
    Unknown(String),
    /// The id is there, and the secret is another one.
    Wrong(String),
    Expired(String),
    Revoked(String),
}

#[derive(Clone, Debug, Default)]
pub struct Index {
    by_id: Parted<Box<str>, Arc<Entry>>,
    /// Keys that were made elsewhere have no id in them.
    by_tag: Parted<Tag, Arc<Entry>>,
}

impl Index {
    pub fn insert(&mut self, entry: Arc<Entry>) {
        if entry.record.is_imported {
            self.by_tag.insert::<Tag>(entry.record.tag, entry.clone());
        }
        self.by_id.insert::<str>(entry.record.id.as_str().into(), entry);
    }

    pub fn remove(&mut self, entry: &Entry) {
        self.by_tag.remove(&entry.record.tag);
        self.by_id.remove(&*entry.record.id);
    }

    pub fn get(&self, id: &str) -> Option<&Arc<Entry>> {
        self.by_id.get(id)
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_id.values()
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn has_tag(&self, tag: &Tag) -> bool {
        self.by_tag.get(tag).is_some()
    }

    /// The key that a request has brought, if it is in force.
    pub fn find(
        &self,
        text: &str,
        prefix: &str,
        peppers: &Peppers,
        now: Moment,
    ) -> Result<&Arc<Entry>, Refused> {
        let entry = match Parts::of(text) {
            Some(parts) if parts.prefix == prefix => self.verified(text, parts, peppers)?,
            Some(parts) => return Err(Refused::OtherPrefix(parts.id.to_owned())),
            None if self.by_tag.is_empty() => return Err(Refused::Malformed),
            None => {
                // What is looked for is a keyed hash: how long that takes tells nothing of any key.
                let digest = KeyDigest::of(text);
                let found = peppers.tags(&digest).find_map(|tag| self.by_tag.get(&tag));
                let found = found.filter(|entry| entry.record.terms.prefix == prefix);
                found.ok_or(Refused::Malformed)?
            }
        };
        match entry.record.state(now) {
            State::Active => {
                entry.touch(now);
                Ok(entry)
            }
            State::Expired => Err(Refused::Expired(entry.record.id.clone())),
            State::Revoked => Err(Refused::Revoked(entry.record.id.clone())),
        }
    }

    fn verified(&self, text: &str, parts: Parts<'_>, peppers: &Peppers) -> Result<&Arc<Entry>, Refused> {
        let known = self.by_id.get(parts.id).filter(|entry| !entry.record.is_imported);
        // As much is computed for an id that there is not.
        let (pepper, tag) = known.map_or(Default::default(), |entry| (entry.record.pepper, entry.record.tag));
        let is_right = peppers.verify(pepper, &KeyDigest::of(text), &tag);
        match known {
            Some(entry) if is_right && entry.record.terms.prefix == parts.prefix => Ok(entry),
            Some(_) => Err(Refused::Wrong(parts.id.to_owned())),
            None => Err(Refused::Unknown(parts.id.to_owned())),
        }
    }
}
