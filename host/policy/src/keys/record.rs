//! What is known of one key: everything but the key.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::pepper::{PepperId, Tag};
use super::text;
use crate::Consumer;

/// The most scopes of a key.
const MAX_SCOPES: usize = 64;

/// How long it is known of a key that it has expired or was revoked, in seconds: 30 days.
pub const REMEMBERED: u64 = 30 * 86_400;

/// A moment, in seconds since 1970 (UTC).
pub type Moment = u64;

pub fn now() -> Moment {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A key as the store has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What logs and lists call it.
    pub id: String,
    pub tag: Tag,
    pub pepper: PepperId,
    /// It was made elsewhere, and has no form of ours.
    #[serde(default)]
    pub is_imported: bool,
    #[serde(flatten)]
    pub terms: Terms,
    pub created: Moment,
    #[serde(default)]
    pub revoked: Option<Moment>,
    /// The key that takes its place, and that it took the place of.
    #[serde(default)]
    pub replaced_by: Option<String>,
    #[serde(default)]
    pub replaces: Option<String>,
}

/// What whoever makes a key says of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What it begins with: policies take keys of one prefix.
    #[serde(default = "usual_prefix")]
    pub prefix: String,
    /// Whose it is.
    pub consumer: String,
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub plan: Option<String>,
    /// What else is known of the consumer.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub expires: Option<Moment>,
}

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Active,
    Expired,
    Revoked,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Expired => "expired",
            State::Revoked => "revoked",
        }
    }
}

/// Whether it is one word (RFC 6749, section 3.3).
pub fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What keys begin with, unless somebody says otherwise.
pub fn usual_prefix() -> String {
    "lk".to_owned()
}

impl Record {
    pub fn state(&self, now: Moment) -> State {
        match self.terms.expires {
            _ if self.revoked.is_some() => State::Revoked,
            Some(expires) if expires <= now => State::Expired,
            _ => State::Active,
        }
    }

    /// Whether it has ended so long ago that it is forgotten.
    pub fn is_over(&self, now: Moment) -> bool {
        let ended = self.revoked.into_iter().chain(self.terms.expires).min();
        ended.is_some_and(|ended| ended.saturating_add(REMEMBERED) <= now)
    }

    /// The same, with what else is known of its end. What becomes of a key only ever goes one way, and of two stories
    /// all that have both make the same one, whichever they heard first.
    pub fn joined(mut self, known: &Record) -> Record {
        self.revoked = earlier(self.revoked, known.revoked);
        self.terms.expires = earlier(self.terms.expires, known.terms.expires);
        self.replaced_by = earlier(self.replaced_by, known.replaced_by.clone());
        self
    }

    /// Whom a request with this key is for: with the attributes `key` (its id), `plan`, and what the metadata has.
    pub fn consumer(&self) -> Result<Consumer, String> {
        let Terms { consumer, scopes, plan, metadata, .. } = &self.terms;
        let attributes = metadata.iter().map(|(name, value)| (&**name, &**value));
        let plan = plan.iter().map(|plan| ("plan", &**plan));
        let own = plan.chain([("key", &*self.id)]);
        let mut named = Consumer::with(consumer, attributes.chain(own)).map_err(|_| {
            "the consumer needs a name of 1 to 256 bytes without control characters, and at most 30 metadata of \
             15 KiB"
                .to_owned()
        })?;
        named.scopes = scopes.iter().map(|scope| scope.as_str().into()).collect();
        Ok(named)
    }
}

/// None comes last.
fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

impl Terms {
    /// What is wrong with them, if anything is.
    pub fn check(&self, now: Moment) -> Result<(), String> {
        if !text::is_prefix(&self.prefix) {
            return Err(format!(
                "not a prefix: `{}`; it has up to 24 lowercase letters, digits and `_`, and begins with a letter",
                self.prefix
            ));
        }
        if self.scopes.len() > MAX_SCOPES || !self.scopes.iter().all(|scope| is_scope(scope)) {
            return Err("a scope is one word (RFC 6749, section 3.3), and there are 64 at most".to_owned());
        }
        if let Some(own) = ["key", "plan"].into_iter().find(|own| self.metadata.contains_key(*own)) {
            return Err(format!("metadata can't be called `{own}`: that is an attribute of its own"));
        }
        match self.expires {
            Some(expires) if expires <= now => Err("it would be expired already".to_owned()),
            _ => Ok(()),
        }
    }
}

/// A moment as `2027-01-31T00:00:00Z` (RFC 3339), or a time from now like `90d` or `12h`.
pub fn moment(text: &str, now: Moment) -> Result<Moment, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return u64::try_from(at.as_second()).map_err(|_| format!("before 1970: `{text}`"));
    }
    let wrong =
        || format!("neither a moment like \"2027-01-31T00:00:00Z\" nor a time like \"90d\": `{text}`");
    Ok(now.saturating_add(span(text).ok_or_else(wrong)?.as_secs()))
}

/// A time like `90d` or `12h`.
pub fn span(text: &str) -> Option<Duration> {
    match text.strip_suffix('d') {
        Some(days) => Some(Duration::from_secs(days.parse::<u32>().ok().map(u64::from)? * 86_400)),
        None => limen_config::units::duration(text).ok(),
    }
}

/// As RFC 3339 has it.
pub fn show(moment: Moment) -> String {
    let at = i64::try_from(moment).ok().and_then(|second| Timestamp::from_second(second).ok());
    at.map_or_else(String::new, |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_spans() {
        assert_eq!(moment("2027-01-31T00:00:00Z", 0), Ok(1_801_353_600));
        assert_eq!(moment("2027-01-31T01:00:00+01:00", 0), Ok(1_801_353_600));
        assert_eq!((moment("90d", 10), moment("1h", 10)), (Ok(7_776_010), Ok(3_610)));
        for wrong in ["", "tomorrow", "90", "-1d", "2027-01-31", "1960-01-01T00:00:00Z", "99999999999d"] {
            assert!(moment(wrong, 0).is_err(), "{wrong}");
        }
        assert_eq!(show(1_801_353_600), "2027-01-31T00:00:00Z");
    }
}
