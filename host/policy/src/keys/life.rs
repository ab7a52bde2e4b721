//! What becomes of keys: made, rotated, revoked, brought from elsewhere.

use std::collections::HashSet;
use std::time::Duration;

use zeroize::Zeroizing;

use super::pepper::KeyDigest;
use super::record::{Record, State, Terms, now};
use super::text::{self, NewText};
use super::{KeyError, Keyring, Wanted};

/// A key that was just made: the only moment that it is seen.
#[derive(Debug)]
pub struct Made {
    pub text: Zeroizing<String>,
    pub record: Record,
}

impl Keyring {
    pub fn create(&self, wanted: Wanted) -> Result<Made, KeyError> {
        let terms = wanted.terms(now()).map_err(KeyError::Invalid)?;
        self.change(|_| {
            let made = self.make(terms.clone())?;
            let record = made.record.clone();
            Ok((made, vec![record]))
        })
    }

    /// Makes a key that takes the place of this one, which is accepted for so long beside it.
    pub fn rotate(&self, id: &str, overlap: Duration) -> Result<(Made, Record), KeyError> {
        self.change(|keys| {
            let mut old = keys.get(id).ok_or(KeyError::Unknown)?.record.clone();
            let now = now();
            if old.state(now) != State::Active {
                let what = format!("the key is {}: make a new one", old.state(now).name());
                return Err(KeyError::Conflict(what));
            }
            if let Some(next) = &old.replaced_by {
                let what = format!("the key is being replaced already, by {next}");
                return Err(KeyError::Conflict(what));
            }
            let mut made = self.make(old.terms.clone())?;
            made.record.replaces = Some(old.id.clone());
            old.replaced_by = Some(made.record.id.clone());
            let ends = now.saturating_add(overlap.as_secs());
            old.terms.expires = Some(old.terms.expires.map_or(ends, |before| before.min(ends)));
            let records = vec![made.record.clone(), old.clone()];
            Ok(((made, old), records))
        })
    }

    /// From now on it is refused. One that is revoked stays so.
    pub fn revoke(&self, id: &str) -> Result<Record, KeyError> {
        self.change(|keys| {
            let mut record = keys.get(id).ok_or(KeyError::Unknown)?.record.clone();
            let is_new = record.revoked.is_none();
            record.revoked.get_or_insert_with(now);
            let records = if is_new { vec![record.clone()] } else { Vec::new() };
            Ok((record, records))
        })
    }

    /// Takes keys over, all or none; those that are there already are left as they are. Answers the new ones.
    pub fn import(&self, arrivals: Vec<Wanted>) -> Result<Vec<Record>, KeyError> {
        let now = now();
        let numbered = arrivals.into_iter().zip(1..);
        let arrivals =
            numbered.map(|(arrival, number)| arrival.arrival(now).map_err(|what| of(number, &what)));
        let arrivals: Vec<_> = arrivals.collect::<Result<_, _>>()?;
        self.change(|keys| {
            let peppers = self.peppers.load();
            let (mut records, mut seen) = (Vec::new(), HashSet::new());
            for ((digest, terms), number) in arrivals.iter().zip(1..) {
                let (pepper, tag) = peppers.tag(digest).ok_or(KeyError::Machine("there is no pepper"))?;
                if peppers.tags(digest).any(|tag| keys.has_tag(&tag)) || !seen.insert(tag) {
                    continue;
                }
                let id = text::new_id().ok_or(KeyError::Machine("no random bytes"))?;
                let record = Record {
                    id,
                    tag,
                    pepper,
                    is_imported: true,
                    terms: terms.clone(),
                    created: now,
                    revoked: None,
                    replaced_by: None,
                    replaces: None,
                };
                record.consumer().map_err(|what| of(number, &what))?;
                records.push(record);
            }
            Ok((records.clone(), records))
        })
    }

    fn make(&self, terms: Terms) -> Result<Made, KeyError> {
        let NewText { id, text } = NewText::new(&terms.prefix).ok_or(KeyError::Machine("no random bytes"))?;
        let tag = self.peppers.load().tag(&KeyDigest::of(&text));
        let (pepper, tag) = tag.ok_or(KeyError::Machine("there is no pepper"))?;
        let record = Record {
            id,
            tag,
            pepper,
            is_imported: false,
            terms,
            created: now(),
            revoked: None,
            replaced_by: None,
            replaces: None,
        };
        record.consumer().map_err(KeyError::Invalid)?;
        Ok(Made { text, record })
    }
}

/// What is wrong with one of many.
fn of(number: usize, what: &str) -> KeyError {
    KeyError::Invalid(format!("key number {number}: {what}"))
}
