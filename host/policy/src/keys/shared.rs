//! Keys that gateways share in a store: reading what others have changed, and staying right when it fails.
//!
//! Each gateway asks a few times in a second what is new, and has all keys in memory and in its file: while the store
//! does not answer it goes on with those that it has seen last. With each new connection it reads all of them
//! again, for the store may have been restored from an older copy, or be another server that was behind. What
//! it knows and the store does not (all, if the store was emptied) it gives back, and an end that either of them
//! knows is in force: so a store that loses what it had loses no key, and none comes alive again. But what a gateway
//! knows that has not seen the store for as long as ends are remembered, it gives up: its keys may have ended since.

use std::time::{Duration, Instant};

use limen_store::{Head, SharedRecords, Trouble};

use super::draft::{Draft, Met};
use super::home::{Home, TRIES, busy, encode};
use super::index::Index;
use super::mirror::Seen;
use super::pepper::Peppers;
use super::record::{REMEMBERED, Record, State, now, show};
use super::text::new_id;
use super::{KeyError, Keyring};

/// How far clocks of gateways may be apart, in seconds: a day.
const SKEW: u64 = 86_400;
/// So long it is looked for what became of a change whose answer was lost.
const SOON: Duration = Duration::from_millis(500);

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KEYS;
    use crate::keys::mirror::{AS_OF, MIRROR};
    use limen_store::{Changes, Journal};
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
