//! Keys, and what they have verified: a signature takes some 100 us to compute, and clients send the same token again
//! and again.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use moka::sync::Cache;
use serde_json::Value;

use super::accepted::Accepted;
use super::{LONGEST_TOKEN, TokenError, verify};

/// What tokens may take that are known, in bytes of memory.
const ROOM: u64 = 16 << 20;
/// What one takes beside its claims.
const OVERHEAD: usize = 512;
/// A node of a map of claims: room for eleven; where there are more nodes, five may be all that one has.
const NODE: usize = 640;
const MOST_IN_NODE: usize = 11;
const LEAST_IN_NODE: usize = 5;
/// What an allocation takes beside what is asked for.
const ALLOCATION: usize = 16;

/// With other keys nothing is known: what an issuer has taken back is of no use from then on.
pub(super) struct Trusted {
    pub(super) keys: Vec<Accepted>,
    leeway: u64,
    /// What marks are made with; none without random numbers.
    key: Option<hmac::Key>,
    known: Cache<Mark, Known>,
}

/// What stands for a token: whoever can choose tokens can't choose it.
type Mark = [u8; 32];

#[derive(Clone)]
struct Known {
    claims: Arc<Value>,
    /// The last second of it, in seconds since 1970.
    until: u64,
    weight: u32,
}

impl Trusted {
    pub(super) fn new(keys: Vec<Accepted>, leeway: Duration) -> Self {
        let known = Cache::builder().max_capacity(ROOM).weigher(|_, known: &Known| known.weight).build();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).ok();
        Trusted { keys, leeway: leeway.as_secs(), key, known }
    }

    /// The claims of a token that is accepted now.
    pub(super) fn verify(&self, token: &str) -> Result<Arc<Value>, TokenError> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenError::Malformed);
        }
        let mark = self.key.as_ref().map(|key| mark(key, token));
        if let Some(known) = mark.as_ref().and_then(|mark| self.known.get(mark)) {
            return match now() <= known.until {
                true => Ok(known.claims),
                false => Err(TokenError::Expired),
            };
        }
        let claims = Arc::new(verify(token, &self.keys)?);
        // One that says it in another way is verified each time.
        if let (Some(mark), Some(exp)) = (mark, claims.get("exp").and_then(Value::as_u64)) {
            let weight = u32::try_from(OVERHEAD + weight(&claims)).unwrap_or(u32::MAX);
            let until = exp.saturating_add(self.leeway);
            self.known.insert(mark, Known { claims: claims.clone(), until, weight });
        }
        Ok(claims)
    }
}

/// What claims take, in bytes, about, and rather too much: a short token may hold a great many small maps. They are no
/// deeper than they are read (128).
fn weight(value: &Value) -> usize {
    size_of::<Value>() + held(value)
}

/// What a value holds beside itself.
fn held(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => ALLOCATION + text.capacity(),
        Value::Array(values) => {
            let values_held: usize = values.iter().map(held).sum();
            ALLOCATION + values.capacity() * size_of::<Value>() + values_held
        }
        Value::Object(map) => {
            let nodes = match map.len() {
                0 => 0,
                1..=MOST_IN_NODE => 1,
                many => many / LEAST_IN_NODE + 1,
            };
            let members = map.iter().map(|(name, value)| ALLOCATION + name.capacity() + held(value));
            nodes * NODE + members.sum::<usize>()
        }
    }
}

fn mark(key: &hmac::Key, token: &str) -> Mark {
    let mut mark = [0; 32];
    mark.copy_from_slice(hmac::sign(key, token.as_bytes()).as_ref());
    mark
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

/// Whether they are the same keys; what is known by now is not asked.
impl PartialEq for Trusted {
    fn eq(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::key_set::accepted::accept;
    use crate::vault::{Key, TokenTerms};
    use jsonwebtoken::{EncodingKey, Header, encode};
    use serde_json::json;

    const SECRET: &[u8] = b"a shared secret of thirty-two bytes and more";

    fn trusted(leeway: u64) -> Trusted {
        let leeway = Duration::from_secs(leeway);
        let terms = TokenTerms { leeway, ..TokenTerms::default() };
        Trusted::new(accept(vec![Key::of_secret(SECRET).unwrap()], &terms).unwrap(), leeway)
    }

    fn sign(claims: &Value) -> String {
        encode(&Header::default(), claims, &EncodingKey::from_secret(SECRET)).unwrap()
    }

    #[test]
    fn a_token_is_verified_once() {
        let trusted = trusted(0);
        let token = sign(&json!({ "sub": "ada", "exp": now() + 300 }));
        let first = trusted.verify(&token).unwrap();
        assert!(Arc::ptr_eq(&first, &trusted.verify(&token).unwrap()), "the same claims, not made anew");
        let other = sign(&json!({ "sub": "eve", "exp": now() + 300 }));
        let (text, _) = token.rsplit_once('.').unwrap();
        let (_, signature) = other.rsplit_once('.').unwrap();
        let forged = format!("{text}.{signature}");
        assert_eq!(trusted.verify(&forged), Err(TokenError::BadSignature));
        assert_eq!(trusted.verify(&forged), Err(TokenError::BadSignature), "what is refused is not known");
    }

    #[test]
    fn what_is_known_expires() {
        let trusted = trusted(60);
        let claims = json!({ "exp": now() - 30 });
        let token = sign(&claims);
        let within = trusted.verify(&token).unwrap();
        assert!(Arc::ptr_eq(&within, &trusted.verify(&token).unwrap()), "within the leeway");
        let mark = mark(trusted.key.as_ref().unwrap(), &token);
        let over = Known { claims: within, until: now() - 1, weight: 1 };
        trusted.known.insert(mark, over);
        assert_eq!(trusted.verify(&token), Err(TokenError::Expired));
    }

    #[test]
    fn a_token_weighs_what_its_claims_take() {
        let trusted = trusted(0);
        let small = json!({ "a": 0 });
        let token = sign(&json!({ "exp": now() + 300, "many": vec![small; 5_000] }));
        assert!(token.len() < LONGEST_TOKEN, "{}", token.len());
        trusted.verify(&token).unwrap();
        let known = trusted.known.get(&mark(trusted.key.as_ref().unwrap(), &token)).unwrap();
        // Each has a node of its own, and a name.
        assert!(known.weight > 5_000 * (632 + 1), "{}", known.weight);
        let many: serde_json::Map<_, _> = (0..1_000).map(|n| (format!("{n:03}"), Value::Null)).collect();
        // As measured with an allocator that counts.
        assert!(weight(&many.into()) > 107_000, "nodes that are half full");
        assert!(weight(&json!({ "sub": "ada", "exp": 1 })) < 1_000);
    }

    #[test]
    fn a_time_that_is_no_whole_number_is_looked_at_each_time() {
        let trusted = trusted(0);
        let token = sign(&json!({ "exp": now() as f64 + 300.5 }));
        assert!(!Arc::ptr_eq(&trusted.verify(&token).unwrap(), &trusted.verify(&token).unwrap()));
    }
}
