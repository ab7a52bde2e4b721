//! Keys as operators ask for them and see them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::index::Entry;
use super::pepper::KeyDigest;
use super::record::{Moment, Terms, moment, show, usual_prefix};

/// A key that is to be made, or taken over from elsewhere.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    consumer: String,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    plan: Option<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    /// A moment, or a time from now.
    #[serde(default)]
    expires: Option<String>,
    #[serde(default = "usual_prefix")]
    prefix: String,
    /// Of one from elsewhere: itself ...
    #[serde(default)]
    key: Option<String>,
    /// ... or its SHA-256, in hexadecimal digits.
    #[serde(default)]
    sha256: Option<String>,
}

impl Wanted {
    /// What a new key is to be.
    pub(super) fn terms(self, now: Moment) -> Result<Terms, String> {
        if self.key.is_some() || self.sha256.is_some() {
            return Err("a new key is made here: one that there is already is imported".to_owned());
        }
        self.into_terms(now)
    }

    /// The key that is there, and what it is to be.
    pub(super) fn arrival(mut self, now: Moment) -> Result<(KeyDigest, Terms), String> {
        let digest = match (self.key.take(), self.sha256.take()) {
            // What is shorter could be guessed.
            (Some(key), None) if key.len() < 16 || key.len() > 512 => {
                return Err("a key has 16 to 512 characters".to_owned());
            }
            (Some(key), None) => KeyDigest::of(&key),
            (None, Some(hex)) => KeyDigest::of_hex(&hex).ok_or("`sha256` is not 64 hexadecimal digits")?,
            _ => return Err("it needs either `key` or `sha256`".to_owned()),
        };
        Ok((digest, self.into_terms(now)?))
    }

    fn into_terms(self, now: Moment) -> Result<Terms, String> {
        let Wanted { consumer, scopes, plan, metadata, expires, prefix, .. } = self;
        let expires = expires.map(|text| moment(&text, now)).transpose()?;
        let terms = Terms { prefix, consumer, scopes, plan, metadata, expires };
        terms.check(now)?;
        Ok(terms)
    }
}

impl Entry {
    /// What operators see of it.
    pub fn describe(&self, now: Moment) -> Value {
        let record = &self.record;
        let Terms { prefix, consumer, scopes, plan, metadata, expires } = &record.terms;
        json!({
            "id": record.id,
            "prefix": prefix,
            "state": record.state(now).name(),
            "consumer": consumer,
            "scopes": scopes,
            "plan": plan,
            "metadata": metadata,
            "created": show(record.created),
            "expires": expires.map(show),
            "revoked": record.revoked.map(show),
            "replaces": record.replaces,
            "replaced_by": record.replaced_by,
            "imported": record.is_imported,
            "last_used": self.used().map(show),
        })
    }
}
