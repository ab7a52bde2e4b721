//! Keys that gateways share in a store: reading what others have changed, and staying right when it fails.
//!
//! Each gateway asks a few times in a second what is new, and has all keys in memory and in its file: while the store
//! does not answer it goes on with those that it has seen last. With each new connection it reads all of them
//! again, for the store may have been restored from an older copy, or be another server that was behind. What
//! it knows and the store does not (all, if the store was emptied) it gives back, and an end that either of them
//! knows is in force: so a store that loses what it had loses no key, and none comes alive again. But what a gateway
//! knows that has not seen the store for as long as ends are remembered, it gives up: its keys may have ended since.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use limen_store::{Changes, Head, Journal, JournalError, SharedRecords, Trouble};

use super::draft::{Draft, Met};
use super::home::{Home, TRIES, busy, encode};
use super::index::Index;
use super::pepper::Peppers;
use super::record::{Moment, REMEMBERED, Record, State, now, show};
use super::text::new_id;
use super::{KEYS, KeyError, Keyring, USES};

/// The table of the journal that says of which keys it is a mirror, and how old that is.
const MIRROR: &str = "key.mirror";
const IDENTITY: &str = "identity";
const AS_OF: &str = "as of";
/// How old the mirror is, is noted so often, in seconds.
const NOTE_AGE: u64 = 60;
/// How far clocks of gateways may be apart, in seconds: a day.
const SKEW: u64 = 86_400;
/// So long it is looked for what became of a change whose answer was lost.
const SOON: Duration = Duration::from_millis(500);

/// What this gateway has seen of a store that it shares.
#[derive(Debug, Default)]
pub struct Seen {
    /// Over which connection it was read; 0: none.
    connection: u64,
    pub version: u64,
    /// It has all that this gateway knows.
    pub is_settled: bool,
    /// Which keys these are.
    pub identity: Option<String>,
    /// When the store answered last; and of that, what the file has.
    as_of: Moment,
    noted: Moment,
    /// Keys that are not like this in the file yet, and whether that was told.
    unmirrored: HashSet<String>,
    is_told: bool,
    /// What was told of why it can't be followed.
    trouble: Option<String>,
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
    /// Looks for what others have changed, and tells the log when that can't be done, and when it can again.
    pub(super) fn follow(&self, seen: &mut Seen, peppers: &Peppers) -> Result<(), KeyError> {
        let Home::Shared(shared) = &self.home else { return Ok(()) };
        if peppers.is_empty() {
            return Ok(());
        }
        let followed = self.catch_up(shared, seen, peppers);
        let trouble = followed.as_ref().err().map(ToString::to_string);
        if trouble != seen.trouble {
            match &trouble {
                Some(trouble) => {
                    let keys = self.index.load().len();
                    let as_of = if seen.as_of == 0 { "never".to_owned() } else { show(seen.as_of) };
                    tracing::warn!(
                        keys,
                        as_of,
                        "API keys are as this gateway has seen them last, and can't be changed: {trouble}"
                    );
                }
                None => tracing::info!("API keys are those that gateways share again"),
            }
            seen.trouble = trouble;
        }
        // What is not ours to have does not get into the file.
        if followed.is_ok() {
            self.mirror(seen);
        }
        followed
    }

    /// Has in force what the store has, and tells it nothing yet.
    pub(super) fn look(&self, peppers: &Peppers) -> Result<(), KeyError> {
        let Home::Shared(shared) = &self.home else { return Ok(()) };
        if peppers.is_empty() {
            return Ok(());
        }
        self.learn(shared, &mut self.lock(), peppers, &mut Met::default()).map(drop)
    }

    /// Has in force what the store has, and the store all that this gateway knows.
    pub(super) fn catch_up(
        &self,
        shared: &SharedRecords,
        seen: &mut Seen,
        peppers: &Peppers,
    ) -> Result<(), KeyError> {
        let mut met = Met::default();
        for _ in 0..TRIES {
            let head = self.learn(shared, seen, peppers, &mut met)?;
            if seen.is_settled {
                return Ok(());
            }
            if !met.is_all {
                seen.connection = 0; // only who reads all of it knows what it lacks
                continue;
            }
            if self.settle(shared, seen, peppers, &head, &mut met)? {
                seen.is_settled = true;
                return Ok(());
            }
        }
        Err(busy())
    }

    /// Reads what is new; all of it over a connection that is new.
    fn learn(
        &self,
        shared: &SharedRecords,
        seen: &mut Seen,
        peppers: &Peppers,
        met: &mut Met,
    ) -> Result<Head, KeyError> {
        for _ in 0..TRIES {
            let connection = shared.connection();
            if seen.connection != connection {
                (seen.version, seen.is_settled) = (0, false);
                *met = Met { is_all: true, ..Met::default() };
            }
            let Some(head) = self.read(shared, seen, met)? else {
                seen.connection = 0; // it knows less than before
                continue;
            };
            seen.connection = connection;
            seen.as_of = now();
            // Known here, so that it is refused now and not key by key.
            if head.mark.as_ref().is_some_and(|mark| !peppers.have_mark(mark)) {
                return Err(KeyError::OtherPepper);
            }
            if met.is_all && head.identity.is_some() {
                self.give_up(seen, met);
            }
            return Ok(head);
        }
        Err(busy())
    }

    /// Has in force what is new. None: what was seen before is not in the store's history.
    fn read(&self, shared: &SharedRecords, seen: &mut Seen, met: &mut Met) -> Result<Option<Head>, KeyError> {
        let mut next = Draft::of(Index::clone(&self.index.load()));
        let head = next.read(shared, seen, met);
        // Of one that breaks off as well: that much is known.
        if let Some(index) = next.changed() {
            self.index.store(index.into());
        }
        head
    }

    /// Drops what the store lacks, if it may have ended so long ago that nobody remembers. What is younger than what
    /// the file has of the store was never there.
    fn give_up(&self, seen: &mut Seen, met: &Met) {
        if seen.noted == 0 || seen.noted.saturating_add(REMEMBERED) > now().saturating_add(SKEW) {
            return;
        }
        let mut next = Index::clone(&self.index.load());
        let lacking = next.all().filter(|entry| !met.has(&entry.record.id));
        let lost: Vec<_> = lacking.filter(|entry| entry.record.created <= seen.noted).cloned().collect();
        if lost.is_empty() {
            return;
        }
        tracing::warn!(
            "{} API keys that the store does not have are dropped: this gateway has not seen it since {}, and they \
             may have been revoked since then",
            lost.len(),
            show(seen.noted)
        );
        for entry in lost {
            next.remove(&entry);
            seen.mirror_later([entry.record.id.clone()]);
        }
        self.index.store(next.into());
    }

    /// Gives the store what it lacks. Whether it has it now: else somebody else was faster.
    fn settle(
        &self,
        shared: &SharedRecords,
        seen: &mut Seen,
        peppers: &Peppers,
        head: &Head,
        met: &mut Met,
    ) -> Result<bool, KeyError> {
        let now = now();
        let index = self.index.load();
        let lacking = index.all().filter(|entry| !met.alike.contains(&entry.record.id));
        let lacking: Vec<_> =
            lacking.map(|entry| &entry.record).filter(|record| !record.is_over(now)).cloned().collect();
        let is_strange =
            |record: &&Record| record.state(now) == State::Active && !peppers.have(record.pepper);
        match lacking.iter().filter(is_strange).count() {
            0 => {}
            // Others could not check them either.
            strange => return Err(KeyError::Strange(strange)),
        }
        if !lacking.is_empty() {
            tracing::warn!(
                "the store lacks {} API keys, or how they have ended, that this gateway knows: it is given them",
                lacking.len()
            );
        }
        for portion in lacking.chunks(SharedRecords::PAGE) {
            if !self.publish(shared, seen, peppers, portion)? {
                return Ok(false);
            }
            met.alike.extend(portion.iter().map(|record| record.id.clone()));
        }
        // Who comes next is to know whose keys these are, and which pepper is theirs.
        let is_named = head.identity.is_some() && head.mark.as_deref() == Some(&peppers.mark());
        if lacking.is_empty() && !is_named { self.publish(shared, seen, peppers, &[]) } else { Ok(true) }
    }

    /// Writes records to the store. Whether it was done: else somebody else was faster.
    pub(super) fn publish(
        &self,
        shared: &SharedRecords,
        seen: &mut Seen,
        peppers: &Peppers,
        records: &[Record],
    ) -> Result<bool, KeyError> {
        let identity = seen.identity.clone().or_else(new_id).ok_or(KeyError::Machine("no random bytes"))?;
        let records: Vec<_> = records
            .iter()
            .map(|record| Ok((record.id.clone(), encode(record)?)))
            .collect::<Result<_, KeyError>>()?;
        let written = shared.write(&identity, &peppers.mark(), seen.version, &records);
        let written = written.map_err(|trouble| match trouble {
            Trouble::NotAsked => KeyError::Away,
            Trouble::Unknown => KeyError::Unsure,
            Trouble::Refused(why) => KeyError::Refused(why),
        });
        let Some(version) = written? else { return Ok(false) };
        (seen.version, seen.identity) = (version, Some(identity));
        Ok(true)
    }

    /// Whether the store has these, though its answer was lost; as far as it says so soon.
    pub(super) fn was_written(&self, shared: &SharedRecords, seen: &mut Seen, records: &[Record]) -> bool {
        let began = Instant::now();
        while self.catch_up(shared, seen, &self.peppers.load()).is_err() {
            if began.elapsed() > SOON {
                return false;
            }
            std::thread::sleep(SOON / 10);
        }
        let index = self.index.load();
        records.iter().all(|record| index.get(&record.id).is_some_and(|entry| entry.record == *record))
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;

    const DAY: u64 = 86_400;

    /// Which keys are left, in force and in the file, of a gateway that has not seen the store for so many days.
    fn left_after(days: u64) -> Vec<String> {
        let journal = Arc::new(Journal::nowhere());
        let as_of = now() - days * DAY;
        let mut changes = Changes::default();
        for (id, created) in [("old", as_of), ("behind", as_of), ("met", as_of), ("young", as_of + 1)] {
            let record = json!({
                "id": id, "tag": vec![1; 32], "pepper": [1, 2, 3, 4], "consumer": "ada", "created": created
            });
            changes.put(KEYS, id, record.to_string());
        }
        changes.put(MIRROR, AS_OF, as_of.to_le_bytes().to_vec());
        journal.write(changes).unwrap();
        let ring = Keyring::open(journal.clone(), None).unwrap();
        let mut seen = Seen::open(&journal);
        seen.as_of = now();
        let mut met = Met::default();
        met.alike.insert("met".to_owned());
        met.behind.insert("behind".to_owned());
        ring.give_up(&mut seen, &met);
        ring.mirror(&mut seen);
        let mut left: Vec<_> = ring.list().iter().map(|entry| entry.record.id.clone()).collect();
        left.sort();
        let kept = journal.entries(KEYS).into_iter().map(|(id, _)| String::from_utf8(id.into()).unwrap());
        assert_eq!(kept.collect::<Vec<_>>(), left, "and in the file");
        left
    }

    #[test]
    fn what_may_have_ended_unremembered_does_not_come_back() {
        assert_eq!(left_after(28), ["behind", "met", "old", "young"]);
        assert_eq!(left_after(29), ["behind", "met", "young"]);
    }
}
