//! What a key looks like: `PREFIX_ID_SECRET`, like `lk_4fGk29LmPq0Z_` and 38 more letters and digits.
//!
//! The prefix says whose keys these are, the id is what logs and lists call the key, the secret is 190 random
//! bits, and its last six characters are a checksum: the CRC-32 of all before them, in base 62. So whoever
//! looks for keys that leaked recognises one, and one that was mistyped is refused without a look-up.

use std::fmt;

use aws_lc_rs::rand;
use flate2::Crc;
use zeroize::Zeroizing;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const ID: usize = 12;
const RANDOM: usize = 32;
const CHECKSUM: usize = 6;
/// The longest prefix, in bytes.
const LONGEST_PREFIX: usize = 24;

/// The parts of a key that is well formed.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    pub prefix: &'a str,
    pub id: &'a str,
}

impl<'a> Parts<'a> {
    /// None: this is none of ours.
    pub fn of(text: &'a str) -> Option<Self> {
        let (rest, secret) = text.rsplit_once('_')?;
        let (prefix, id) = rest.rsplit_once('_')?;
        let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if id.len() != ID || secret.len() != RANDOM + CHECKSUM || !is_word(id) || !is_word(secret) {
            return None;
        }
        let (covered, check) = text.split_at_checked(text.len() - CHECKSUM)?;
        (checksum(covered).as_bytes() == check.as_bytes() && is_prefix(prefix))
            .then_some(Parts { prefix, id })
    }
}

/// A new key, which is shown once.
pub struct NewText {
    pub id: String,
    pub text: Zeroizing<String>,
}

impl NewText {
    /// None: the system has no random bytes.
    pub fn new(prefix: &str) -> Option<Self> {
        let id = random_word(ID)?;
        let mut text = Zeroizing::new(format!("{prefix}_{id}_{}", &*Zeroizing::new(random_word(RANDOM)?)));
        let check = checksum(&text);
        text.push_str(&check);
        Some(NewText { id, text })
    }
}

impl fmt::Debug for NewText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewText").field("id", &self.id).finish_non_exhaustive()
    }
}

/// An id for a key that was made elsewhere.
pub fn new_id() -> Option<String> {
    random_word(ID)
}

pub fn is_prefix(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.len() <= LONGEST_PREFIX
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && !text.ends_with('_')
        && text.bytes().all(is_fine)
}

fn random_word(length: usize) -> Option<String> {
    let mut word = String::with_capacity(length);
    while word.len() < length {
        let mut bytes = Zeroizing::new([0; 64]);
        rand::fill(&mut *bytes).ok()?;
        // 248 is the largest multiple of 62 in a byte: beyond it some digits would come more often.
        let digits = bytes.iter().filter(|byte| **byte < 248);
        let digits =
            digits.filter_map(|byte| DIGITS.get(usize::from(byte % 62))).map(|digit| char::from(*digit));
        word.extend(digits.take(length - word.len()));
    }
    Some(word)
}

fn checksum(text: &str) -> String {
    let mut crc = Crc::new();
    crc.update(text.as_bytes());
    let mut left = crc.sum();
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS.get((left % 62) as usize).copied().unwrap_or(b'0');
        left /= 62;
    }
    digits.map(char::from).iter().collect()
}

/// The same secret under another id.
#[cfg(test)]
pub fn with_id(text: &str, id: &str) -> String {
    let (rest, secret) = text.rsplit_once('_').unwrap();
    let (prefix, _) = rest.rsplit_once('_').unwrap();
    let covered = format!("{prefix}_{id}_{}", &secret[..RANDOM]);
    let check = checksum(&covered);
    covered + &check
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_well_formed_and_what_is_not_quite_that_is_not() {
        let key = NewText::new("acme_live").unwrap();
        let text = key.text.as_str();
        let parts = Parts::of(text).unwrap();
        assert_eq!((parts.prefix, parts.id), ("acme_live", &*key.id));
        assert_eq!(text.len(), 9 + 1 + 12 + 1 + 38);
        for at in 0..text.len() {
            let mut other = text.to_owned().into_bytes();
            other[at] = if other[at] == b'x' { b'y' } else { b'x' };
            assert!(Parts::of(std::str::from_utf8(&other).unwrap()).is_none(), "changed at {at}");
            assert!(Parts::of(&text[..at]).is_none(), "cut off at {at}");
        }
        for wrong in ["", "_", "__", "lk_a_b", "ключ_ключ_ключ", &format!("{text}a"), &format!(" {text}")]
        {
            assert!(Parts::of(wrong).is_none(), "{wrong:?}");
        }
        assert!(!format!("{key:?}").contains(text));
    }

    #[test]
    fn two_are_never_the_same() {
        let words: std::collections::HashSet<_> = (0..1000).map(|_| random_word(ID).unwrap()).collect();
        assert_eq!(words.len(), 1000);
    }
}
