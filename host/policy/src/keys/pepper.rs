//! What keys are hashed with, so that whoever gets to see the store can't even try keys against it.

use std::fmt;

use aws_lc_rs::{digest, hmac};

use crate::vault::Secret;

/// HMAC-SHA-256 of the SHA-256 of a key. (The inner one is what other systems have, when keys come from them.)
pub type Tag = [u8; 32];

/// Which pepper a tag was made with.
pub type PepperId = [u8; 4];

/// All peppers that tags of keys may be made with; new ones are made with the first.
#[derive(Clone)]
pub struct Peppers(Vec<(PepperId, hmac::Key)>);

impl Peppers {
    /// That of the configuration, with the one it replaces, and the one that the gateway made itself.
    pub fn new(named: Option<&Secret>, made: Option<&[u8]>) -> Self {
        let named = named.into_iter().flat_map(Secret::reveal_all);
        let pepper = |value: &[u8]| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, value);
            let tag = tag(&key, b"limen: which pepper is this?");
            (tag.first_chunk().copied().unwrap_or_default(), key)
        };
        Peppers(named.chain(made).map(pepper).collect())
    }

    /// The tag of a key that is new.
    pub fn tag(&self, key: &KeyDigest) -> Option<(PepperId, Tag)> {
        self.0.first().map(|(id, pepper)| (*id, tag(pepper, &key.0)))
    }

    /// The tags that a key from elsewhere may have.
    pub fn tags(&self, key: &KeyDigest) -> impl Iterator<Item = Tag> {
        self.0.iter().map(|(_, pepper)| tag(pepper, &key.0))
    }

    /// Whether the tag is of this key, in a time that does not depend on where it is not.
    pub fn verify(&self, id: PepperId, key: &KeyDigest, tag: &Tag) -> bool {
        let pepper = self.0.iter().find(|(known, _)| *known == id).or(self.0.first());
        pepper.is_some_and(|(_, pepper)| hmac::verify(pepper, &key.0, tag).is_ok())
    }

    /// Whether nobody has named any yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The one that new tags are made with, as those who share a store tell one another.
    pub fn mark(&self) -> Vec<u8> {
        self.0.first().map(|(id, _)| id.to_vec()).unwrap_or_default()
    }

    pub fn have_mark(&self, mark: &[u8]) -> bool {
        self.0.iter().any(|(known, _)| known == mark)
    }

    pub fn have(&self, id: PepperId) -> bool {
        self.0.iter().any(|(known, _)| *known == id)
    }
}

impl fmt::Debug for Peppers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peppers").finish_non_exhaustive()
    }
}

/// The SHA-256 of a key.
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    pub fn of(key: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, key.as_bytes());
        KeyDigest(digest.as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// As other systems write it: 64 hexadecimal digits.
    pub fn of_hex(text: &str) -> Option<Self> {
        let mut digest = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(KeyDigest(digest))
    }
}

fn tag(pepper: &hmac::Key, data: &[u8]) -> Tag {
    hmac::sign(pepper, data).as_ref().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_of_one_key_and_one_pepper() {
        let secret = Secret::new("s", b"new pepper".to_vec(), Some(b"old pepper".to_vec()));
        let old = Peppers::new(Some(&Secret::new("s", b"old pepper".to_vec(), None)), None);
        let new = Peppers::new(Some(&secret), Some(b"made"));
        let key = KeyDigest::of("key");
        let (id, tag) = old.tag(&key).unwrap();
        assert!(old.verify(id, &key, &tag) && new.verify(id, &key, &tag) && new.have(id));
        assert!(!new.verify(id, &KeyDigest::of("kez"), &tag));
        let (id, tag) = new.tag(&key).unwrap();
        assert!(new.verify(id, &key, &tag) && !old.have(id) && !old.verify(id, &key, &tag));
        assert_eq!(new.tags(&key).count(), 3);
    }

    #[test]
    fn digests_are_read_as_others_write_them() {
        let hex = "2C70E12B7A0646F92279F427C7B38E7334D8E5389CFF167A1DC30E73F826B683";
        assert_eq!(KeyDigest::of_hex(hex).unwrap().0, KeyDigest::of("key").0);
        for wrong in ["", "xyz", &hex[1..], &hex.replace('2', "g"), &"é".repeat(32)] {
            assert!(KeyDigest::of_hex(wrong).is_none());
        }
    }
}
