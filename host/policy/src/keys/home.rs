//! Where keys are kept, and how a change gets there.

use std::sync::{MutexGuard, PoisonError};

use bytes::Bytes;
use limen_store::{Changes, SharedRecords};

use super::index::{Entry, Index};
use super::mirror::Seen;
use super::record::Record;
use super::{KEYS, KeyError, Keyring};

/// Where the records of keys are.
#[derive(Debug)]
pub enum Home {
    /// In the file of this gateway.
    File,
    /// In a store that several share. The file has what this one has seen of it.
    Shared(SharedRecords),
}

/// How often something is tried again because other gateways were faster.
pub const TRIES: usize = 200;

impl Keyring {
    /// Makes a change: `decide` says what becomes of which keys, by all of them as they are. It is in force when it is
    /// where it is kept, and not before. Where others change keys too, `decide` may be asked again.
    pub(super) fn change<T>(
        &self,
        mut decide: impl FnMut(&Index) -> Result<(T, Vec<Record>), KeyError>,
    ) -> Result<T, KeyError> {
        let mut seen = self.lock();
        for _ in 0..TRIES {
            if let Home::Shared(shared) = &self.home {
                self.catch_up(shared, &mut seen, &self.peppers.load())?;
            }
            let now = self.index.load_full();
            let (answer, records) = decide(&now)?;
            if records.is_empty() {
                return Ok(answer);
            }
            let next = with(&now, &records)?;
            match &self.home {
                Home::File => self.journal.write(puts(&records)?)?,
                Home::Shared(shared) => {
                    match self.publish(shared, &mut seen, &self.peppers.load(), &records) {
                        Ok(true) => {}
                        Ok(false) => continue,
                        Err(KeyError::Unsure) if self.was_written(shared, &mut seen, &records) => {
                            self.mirror(&mut seen);
                            return Ok(answer);
                        }
                        Err(error) => return Err(error),
                    }
                    seen.mirror_later(records.iter().map(|record| record.id.clone()));
                }
            }
            self.index.store(next.into());
            self.mirror(&mut seen);
            return Ok(answer);
        }
        Err(busy())
    }

    /// Changes come one after another.
    pub(super) fn lock(&self) -> MutexGuard<'_, Seen> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub fn busy() -> KeyError {
    KeyError::Conflict("other gateways change keys all the time: try again".to_owned())
}

/// The keys as they are with these records.
fn with(index: &Index, records: &[Record]) -> Result<Index, KeyError> {
    let mut next = index.clone();
    for record in records {
        let entry = match next.get(&record.id) {
            Some(known) => known.renew(record.clone()),
            None => Entry::new(record.clone(), 0),
        };
        next.insert(entry.map_err(KeyError::Invalid)?.into());
    }
    Ok(next)
}

fn puts(records: &[Record]) -> Result<Changes, KeyError> {
    let mut changes = Changes::default();
    for record in records {
        changes.put(KEYS, record.id.clone(), encode(record)?);
    }
    Ok(changes)
}

pub fn encode(record: &Record) -> Result<Bytes, KeyError> {
    let bytes = serde_json::to_vec(record).map_err(|_| KeyError::Machine("it can't be written as JSON"))?;
    Ok(bytes.into())
}
