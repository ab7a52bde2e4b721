//! Whether a token (JWT, RFC 7519) is one of those that are accepted.

mod accepted;
mod renewal;
mod trusted;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{decode, decode_header};
use serde_json::Value;

use self::accepted::{Accepted, accept, candidates};
use self::trusted::Trusted;
use super::{Key, KeyError};
use crate::Later;
pub use renewal::{Renewal, RenewalReading, RenewalTerms};

/// The longest token, in bytes.
const LONGEST_TOKEN: usize = 64 << 10;

/// Keys, and what a token that they verify has to say beside.
#[derive(PartialEq)]
pub struct KeySet {
    name: String,
    keys: Keys,
}

#[derive(PartialEq)]
enum Keys {
    /// As they are configured.
    Given(Box<Trusted>),
    /// Brought anew from time to time.
    Renewed(Box<Renewal>),
}

/// What a token has to say beside being signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenTerms {
    /// As tokens name them; none: all that the keys can verify.
    pub algorithms: Option<Vec<&'static str>>,
    /// `iss` has to be one of these, if there are any.
    pub issuers: Vec<String>,
    /// `aud` has to contain one of these, if there are any.
    pub audiences: Vec<String>,
    /// How much clocks may differ, in whole seconds.
    pub leeway: Duration,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// It is not a signed token with an `exp`, or wants something understood that isn't (`crit`).
    Malformed,
    /// No key of the set has its `kid`, or none verifies its algorithm.
    UnknownKey,
    BadSignature,
    Expired,
    NotYetValid,
    WrongIssuer,
    WrongAudience,
    /// Its keys could not be had; it may be a good one.
    Unavailable,
}

impl KeySet {
    pub fn new(name: &str, keys: Vec<Key>, terms: &TokenTerms) -> Result<Self, KeyError> {
        let keys = Trusted::new(accept(keys, terms)?, terms.leeway);
        Ok(KeySet { name: name.to_owned(), keys: Keys::Given(Box::new(keys)) })
    }

    /// One whose keys somebody else brings.
    pub fn renewed(name: &str, terms: TokenTerms, renewal: RenewalTerms) -> Self {
        KeySet { name: name.to_owned(), keys: Keys::Renewed(Box::new(Renewal::new(terms, renewal))) }
    }

    /// Who brings keys, if anybody does.
    pub fn renewal(&self) -> Option<&Renewal> {
        match &self.keys {
            Keys::Given(_) => None,
            Keys::Renewed(renewal) => Some(renewal),
        }
    }

    /// Takes over the keys of the one before it, if they come from the same place.
    pub fn inherit(&mut self, before: &KeySet) {
        if let (Keys::Renewed(renewal), Some(before)) = (&mut self.keys, before.renewal()) {
            renewal.inherit(before);
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The claims of a token that is accepted now. Its signature is computed once, as long as there is room to
    /// remember it and the keys are the same.
    pub fn verify(&self, token: &str) -> Result<Arc<Value>, TokenError> {
        match &self.keys {
            Keys::Given(keys) => keys.verify(token),
            Keys::Renewed(renewal) => renewal.current().ok_or(TokenError::Unavailable)?.trusted.verify(token),
        }
    }

    /// What to wait for if keys may be on their way that change this answer; then it is worth to verify again.
    pub fn news(&self, error: TokenError) -> Option<Later<'_, ()>> {
        let renewal = self.renewal()?;
        match error {
            TokenError::UnknownKey | TokenError::Unavailable => renewal.news(),
            _ => None,
        }
    }

    /// As [`verify`](Self::verify), having waited for news if there may be some.
    pub async fn verify_with_news(&self, token: &str) -> Result<Arc<Value>, TokenError> {
        let verified = self.verify(token);
        match verified.as_ref().err().and_then(|error| self.news(*error)) {
            None => verified,
            Some(news) => {
                news.await;
                self.verify(token)
            }
        }
    }
}

fn verify(token: &str, keys: &[Accepted]) -> Result<Value, TokenError> {
    let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
    if header.crit.is_some() {
        return Err(TokenError::Malformed);
    }
    let mut refused = TokenError::UnknownKey;
    for key in candidates(keys, &header) {
        match decode::<Value>(token, &key.key, &key.validation) {
            // The library takes a list of issuers for one of them, and whoever signs for several could speak for
            // each (CVE-2025-30144).
            Ok(token)
                if key.validation.iss.is_some() && !token.claims.get("iss").is_some_and(Value::is_string) =>
            {
                return Err(TokenError::WrongIssuer);
            }
            Ok(token) => return Ok(token.claims),
            Err(error) => refused = reason(error.kind()),
        }
        // Another key may have signed it; what it says is the same.
        if refused != TokenError::BadSignature {
            break;
        }
    }
    Err(refused)
}

fn reason(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYetValid,
        ErrorKind::InvalidIssuer => TokenError::WrongIssuer,
        ErrorKind::InvalidAudience => TokenError::WrongAudience,
        ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => TokenError::WrongIssuer,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenError::WrongAudience,
        ErrorKind::InvalidSignature => TokenError::BadSignature,
        _ => TokenError::Malformed,
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
