//! A value that nobody gets to see.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// A secret with the one that it replaces, if it is being replaced.
#[derive(PartialEq, Eq)]
pub struct Secret {
    name: String,
    current: Value,
    previous: Option<Value>,
}

/// Its memory is overwritten when it is gone.
struct Value {
    bytes: Zeroizing<Vec<u8>>,
    hmac_sha256: hmac::Key,
}

impl Secret {
    pub fn new(name: &str, current: Vec<u8>, previous: Option<Vec<u8>>) -> Self {
        Secret { name: name.to_owned(), current: Value::new(current), previous: previous.map(Value::new) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The current value. Whoever asks sees to it that nobody else does.
    pub fn reveal(&self) -> &[u8] {
        &self.current.bytes
    }

    /// The current value and the previous one.
    pub fn reveal_all(&self) -> impl Iterator<Item = &[u8]> {
        [Some(&self.current), self.previous.as_ref()].into_iter().flatten().map(|value| &**value.bytes)
    }

    /// The HMAC-SHA-256 (RFC 2104) of data, with the current value as its key.
    pub fn hmac_sha256(&self, data: &[u8]) -> Vec<u8> {
        hmac::sign(&self.current.hmac_sha256, data).as_ref().to_vec()
    }

    /// Whether this is the HMAC-SHA-256 of data, made with the current value or the previous one. How long
    /// that takes does not depend on where a wrong one is wrong.
    pub fn is_hmac_sha256(&self, data: &[u8], tag: &[u8]) -> bool {
        let made_with = |value: &Value| hmac::verify(&value.hmac_sha256, data, tag).is_ok();
        // Both are computed, so that it does not tell either which of them it was.
        let current = made_with(&self.current);
        let previous = self.previous.as_ref().is_some_and(made_with);
        current | previous
    }
}

impl Value {
    fn new(bytes: Vec<u8>) -> Self {
        let hmac_sha256 = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        Value { bytes: Zeroizing::new(bytes), hmac_sha256 }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Value {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_values_verify_and_the_current_one_signs() {
        // RFC 4231, test case 2.
        let tag = [
            0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e, 0x6a, 0x04, 0x24, 0x26, 0x08, 0x95, 0x75, 0xc7,
            0x5a, 0x00, 0x3f, 0x08, 0x9d, 0x27, 0x39, 0x83, 0x9d, 0xec, 0x58, 0xb9, 0x64, 0xec, 0x38, 0x43,
        ];
        let data = b"what do ya want for nothing?";
        let jefe = Secret::new("s", b"Jefe".to_vec(), None);
        assert_eq!(jefe.hmac_sha256(data), tag);
        assert!(jefe.is_hmac_sha256(data, &tag));
        assert!(!jefe.is_hmac_sha256(b"something else", &tag));
        assert!(!jefe.is_hmac_sha256(data, &tag[..31]) && !jefe.is_hmac_sha256(data, b""));

        let rotated = Secret::new("s", b"new".to_vec(), Some(b"Jefe".to_vec()));
        assert!(rotated.is_hmac_sha256(data, &tag), "made with the previous value");
        assert!(rotated.is_hmac_sha256(data, &rotated.hmac_sha256(data)));
        assert_ne!(rotated.hmac_sha256(data), tag);
        assert!(!Secret::new("s", b"new".to_vec(), None).is_hmac_sha256(data, &tag));
    }

    #[test]
    fn it_is_not_printed() {
        let secret = Secret::new("stripe", b"hunter2".to_vec(), Some(b"hunter1".to_vec()));
        assert_eq!(format!("{secret:?}"), "Secret { name: \"stripe\", .. }");
    }
}
