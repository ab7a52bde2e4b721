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
        let _one = self.change();
        let made = self.make(terms)?;
        self.keep(vec![made.record.clone()])?;
        Ok(made)
    }

    /// Makes a key that takes the place of this one, which is accepted for so long beside it.
    pub fn rotate(&self, id: &str, overlap: Duration) -> Result<(Made, Record), KeyError> {
        let _one = self.change();
        let mut old = self.get(id).ok_or(KeyError::Unknown)?.record.clone();
        let now = now();
        if old.state(now) != State::Active {
            return Err(KeyError::Conflict(format!("the key is {}: make a new one", old.state(now).name())));
        }
        if let Some(next) = &old.replaced_by {
            return Err(KeyError::Conflict(format!("the key is being replaced already, by {next}")));
        }
        let mut made = self.make(old.terms.clone())?;
        made.record.replaces = Some(old.id.clone());
        old.replaced_by = Some(made.record.id.clone());
        let ends = now.saturating_add(overlap.as_secs());
        old.terms.expires = Some(old.terms.expires.map_or(ends, |before| before.min(ends)));
        self.keep(vec![made.record.clone(), old.clone()])?;
        Ok((made, old))
    }

    /// From now on it is refused. One that is revoked stays so.
    pub fn revoke(&self, id: &str) -> Result<Record, KeyError> {
        let _one = self.change();
        let mut record = self.get(id).ok_or(KeyError::Unknown)?.record.clone();
        if record.revoked.is_none() {
            record.revoked = Some(now());
            self.keep(vec![record.clone()])?;
        }
        Ok(record)
    }

    /// Takes keys over, all or none; those that are there already are left as they are. Answers the new ones.
    pub fn import(&self, arrivals: Vec<Wanted>) -> Result<Vec<Record>, KeyError> {
        let _one = self.change();
        let (index, peppers, now) = (self.index.load(), self.peppers.load(), now());
        let (mut records, mut seen) = (Vec::new(), HashSet::new());
        for (number, arrival) in arrivals.into_iter().enumerate() {
            let invalid = |what: String| KeyError::Invalid(format!("key number {}: {what}", number + 1));
            let (digest, terms) = arrival.arrival(now).map_err(invalid)?;
            let (pepper, tag) = peppers.tag(&digest).ok_or(KeyError::Machine("there is no pepper"))?;
            if peppers.tags(&digest).any(|tag| index.has_tag(&tag)) || !seen.insert(tag) {
                continue;
            }
            let id = text::new_id().ok_or(KeyError::Machine("no random bytes"))?;
            let record = Record {
                id,
                tag,
                pepper,
                is_imported: true,
                terms,
                created: now,
                revoked: None,
                replaced_by: None,
                replaces: None,
            };
            record.consumer().map_err(invalid)?;
            records.push(record);
        }
        self.keep(records.clone())?;
        Ok(records)
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
