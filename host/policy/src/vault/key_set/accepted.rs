//! A key with what is asked of tokens that it verifies.

use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Header, Validation};

use super::TokenTerms;
use crate::vault::{Key, KeyError};

pub(super) struct Accepted {
    id: Option<String>,
    pub(super) key: DecodingKey,
    pub(super) validation: Validation,
}

/// All that verify what the terms accept; at least one.
pub(super) fn accept(keys: Vec<Key>, terms: &TokenTerms) -> Result<Vec<Accepted>, KeyError> {
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
        false => Ok(keys),
    }
}

/// The keys of a token's `kid`, or those that are not tied to one.
pub(super) fn candidates<'a>(keys: &'a [Accepted], header: &'a Header) -> impl Iterator<Item = &'a Accepted> {
    let kid = header.kid.as_ref();
    let known = kid.is_some_and(|kid| keys.iter().any(|key| key.id.as_ref() == Some(kid)));
    let fits = move |key: &&Accepted| match kid {
        Some(_) if known => key.id.as_ref() == kid,
        Some(_) => key.id.is_none(),
        None => true,
    };
    keys.iter().filter(fits).filter(move |key| key.validation.algorithms.contains(&header.alg))
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
