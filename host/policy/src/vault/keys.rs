//! Keys that tokens are verified with, and what each may verify.

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

/// A key that is shorter than the hash does not protect HMAC (RFC 7518, section 3.2): so many bytes each needs.
const SECRETS: [(Algorithm, usize); 3] =
    [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)];
/// Keys of one set: a token without a `kid` is tried with each that has its algorithm.
const MAX_KEYS: usize = 64;

/// One key: it verifies algorithms of its own type and no others.
#[derive(Clone)]
pub struct Key {
    /// `kid`; none for a key that verifies tokens with any.
    pub(super) id: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

/// Why a key can't be used.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyError(pub String);

impl Key {
    /// The keys of a JWK Set (RFC 7517), without those for encryption.
    pub fn of_jwks(text: &[u8]) -> Result<Vec<Key>, KeyError> {
        // What the file says instead may be something to hide.
        let place = |error: serde_json::Error| format!("line {}, column {}", error.line(), error.column());
        let set: JwkSet =
            serde_json::from_slice(text).map_err(|error| wrong(format!("no JWK Set: {}", place(error))))?;
        let keys = set
            .keys
            .iter()
            .filter(|jwk| is_for_signatures(jwk))
            .map(Key::of_jwk)
            .collect::<Result<Vec<_>, _>>()?;
        match keys.len() {
            0 => Err(wrong("no key for signatures is in it")),
            1..=MAX_KEYS => Ok(keys),
            count => Err(wrong(format!("{count} keys; at most {MAX_KEYS} can be in one set"))),
        }
    }

    /// The keys of a JWK Set of somebody else's: those that can't be used are left out, and counted
    /// (RFC 7517, section 5).
    pub fn of_foreign_jwks(text: &[u8]) -> Result<(Vec<Key>, usize), KeyError> {
        #[derive(serde::Deserialize)]
        struct Foreign {
            keys: Vec<serde_json::Value>,
        }
        let set: Foreign = serde_json::from_slice(text).map_err(|_| wrong("no JWK Set"))?;
        let count = set.keys.len();
        if count > MAX_KEYS {
            return Err(wrong(format!("{count} keys; at most {MAX_KEYS} can be in one set")));
        }
        let jwks = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys: Vec<_> = jwks.filter(is_for_signatures).filter_map(|jwk| Key::of_jwk(&jwk).ok()).collect();
        match keys.is_empty() {
            true => Err(wrong("no key for signatures that can be used is in it")),
            false => {
                let left_out = count - keys.len();
                Ok((keys, left_out))
            }
        }
    }

    fn of_jwk(jwk: &Jwk) -> Result<Key, KeyError> {
        let id = jwk.common.key_id.clone();
        let named = |what: &str| match &id {
            Some(id) => wrong(format!("the key `{id}` {what}")),
            None => wrong(format!("a key without `kid` {what}")),
        };
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms().to_vec(),
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return Err(named("is on a curve that is not supported: P-256 and P-384 are")),
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            AlgorithmParameters::OctetKey(_) => {
                return Err(named("is a shared secret, which belongs into a [secret]"));
            }
            _ => return Err(named("is of a type that is not supported")),
        };
        if let Some(algorithm) = &jwk.common.key_algorithm {
            algorithms.retain(|own| algorithm.to_string() == format!("{own:?}"));
            if algorithms.is_empty() {
                return Err(named(&format!("is not of the type that its `alg`, {algorithm}, needs")));
            }
        }
        let key = DecodingKey::from_jwk(jwk).map_err(|error| named(&format!("is broken: {error}")))?;
        Ok(Key { id, algorithms, key })
    }

    /// The one public key of a PEM file.
    pub fn of_pem(text: &[u8]) -> Result<Key, KeyError> {
        let begins = |what: &str| String::from_utf8_lossy(text).matches(what).count();
        match begins("-----BEGIN ") {
            1 if begins("-----BEGIN PUBLIC KEY-----") + begins("-----BEGIN RSA PUBLIC KEY-----") == 1 => {}
            0 => return Err(wrong("no PEM")),
            1 => return Err(wrong("not a public key: it has to begin with `-----BEGIN PUBLIC KEY-----`")),
            _ => return Err(wrong("more than one key; one is expected in each file")),
        }
        let elliptic = |key: DecodingKey| {
            // The length of a point (0x04, x, y) tells the curve.
            let algorithm = match key.try_get_as_bytes().ok()?.len() {
                65 => Algorithm::ES256,
                97 => Algorithm::ES384,
                _ => return None,
            };
            Some(Key { id: None, algorithms: vec![algorithm], key })
        };
        if let Ok(key) = DecodingKey::from_rsa_pem(text) {
            return Ok(Key { id: None, algorithms: AlgorithmFamily::Rsa.algorithms().to_vec(), key });
        }
        if let Ok(key) = DecodingKey::from_ed_pem(text) {
            return Ok(Key { id: None, algorithms: vec![Algorithm::EdDSA], key });
        }
        DecodingKey::from_ec_pem(text)
            .ok()
            .and_then(elliptic)
            .ok_or_else(|| wrong("not a key of RSA, P-256, P-384 or Ed25519"))
    }

    /// A shared secret.
    pub fn of_secret(secret: &[u8]) -> Result<Key, KeyError> {
        let strong = SECRETS.into_iter().filter(|(_, bytes)| secret.len() >= *bytes);
        let algorithms: Vec<_> = strong.map(|(algorithm, _)| algorithm).collect();
        if algorithms.is_empty() {
            return Err(wrong("a secret of less than 32 bytes; HS384 needs 48, and HS512 64"));
        }
        Ok(Key { id: None, algorithms, key: DecodingKey::from_secret(secret) })
    }
}

/// Whether it may verify (RFC 7517, sections 4.2 and 4.3).
fn is_for_signatures(jwk: &Jwk) -> bool {
    let operations = jwk.common.key_operations.as_ref();
    jwk.common.public_key_use != Some(PublicKeyUse::Encryption)
        && operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

fn wrong(what: impl Into<String>) -> KeyError {
    KeyError(what.into())
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}
