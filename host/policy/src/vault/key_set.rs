//! Whether a token (JWT, RFC 7519) is one of those that are accepted.

use std::fmt;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Header, Validation, decode, decode_header};
use serde_json::Value;

use super::{Key, KeyError};

/// The longest token, in bytes.
const LONGEST_TOKEN: usize = 64 << 10;

/// Keys, and what a token that they verify has to say beside.
#[derive(PartialEq)]
pub struct KeySet {
    name: String,
    keys: Vec<Accepted>,
}

/// What a token has to say beside being signed.
#[derive(Clone, Debug, Default)]
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

/// A key with all that is asked of a token of its own.
struct Accepted {
    id: Option<String>,
    key: DecodingKey,
    validation: Validation,
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
}

impl KeySet {
    pub fn new(name: &str, keys: Vec<Key>, terms: &TokenTerms) -> Result<Self, KeyError> {
        let accepted = |algorithm: &Algorithm| match &terms.algorithms {
            Some(accepted) => accepted.contains(&&*format!("{algorithm:?}")),
            None => true,
        };
        let keys = keys.into_iter().filter_map(|key| {
            let algorithms: Vec<_> = key.algorithms.into_iter().filter(accepted).collect();
            let first = algorithms.first()?;
            let validation = Validation { algorithms: algorithms.clone(), ..validation(*first, terms) };
            Some(Accepted { id: key.id, key: key.key, validation })
        });
        let keys: Vec<_> = keys.collect();
        match keys.is_empty() {
            true => Err(KeyError("no key that verifies one of `algorithms`".to_owned())),
            false => Ok(KeySet { name: name.to_owned(), keys }),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The claims of a token that is accepted now.
    pub fn verify(&self, token: &str) -> Result<Value, TokenError> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::Malformed);
        }
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let mut refused = TokenError::UnknownKey;
        for key in self.candidates(&header) {
            match decode::<Value>(token, &key.key, &key.validation) {
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

    /// The keys of its `kid`, or those that are not tied to one.
    fn candidates<'a>(&'a self, header: &'a Header) -> impl Iterator<Item = &'a Accepted> {
        let kid = header.kid.as_ref();
        let known = kid.is_some_and(|kid| self.keys.iter().any(|key| key.id.as_ref() == Some(kid)));
        let fits = move |key: &&Accepted| match kid {
            Some(_) if known => key.id.as_ref() == kid,
            Some(_) => key.id.is_none(),
            None => true,
        };
        self.keys.iter().filter(fits).filter(move |key| key.validation.algorithms.contains(&header.alg))
    }
}

impl PartialEq for Accepted {
    fn eq(&self, other: &Self) -> bool {
        let same_key = match (self.key.kind(), other.key.kind()) {
            (DecodingKeyKind::SecretOrDer(one), DecodingKeyKind::SecretOrDer(other)) => one == other,
            (
                DecodingKeyKind::RsaModulusExponent { n, e },
                DecodingKeyKind::RsaModulusExponent { n: other_n, e: other_e },
            ) => n == other_n && e == other_e,
            _ => false,
        };
        same_key && self.id == other.id && self.validation == other.validation
    }
}

fn validation(algorithm: Algorithm, terms: &TokenTerms) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = terms.leeway.as_secs();
    validation.validate_nbf = true;
    // The library compares what is there; that it is there has to be asked for.
    let mut required = vec!["exp"];
    if !terms.issuers.is_empty() {
        validation.set_issuer(&terms.issuers);
        required.push("iss");
    }
    if terms.audiences.is_empty() {
        validation.validate_aud = false;
    } else {
        validation.set_audience(&terms.audiences);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    validation
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
