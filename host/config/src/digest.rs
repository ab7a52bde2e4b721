//! A SHA-256, by which content is known

use std::fmt;

use crate::value::Value;

/// The SHA-256 of some content. Shown as OCI writes it, `sha256:` and 64 small hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

const ALGORITHM: &str = "sha256:";

impl Digest {
    /// As OCI writes it, of which this is the only algorithm that all have.
    pub fn parse(text: &str) -> Option<Digest> {
        let digits = text.strip_prefix(ALGORITHM)?;
        let is_small = !digits.bytes().any(|b| b.is_ascii_uppercase());
        hex(digits).filter(|_| is_small).map(Digest)
    }

    /// As `sha256sum` writes it.
    pub(crate) fn read(value: &Value<'_>) -> Option<Digest> {
        const EXPECTED: &str = "64 hexadecimal digits, as `sha256sum` writes them";
        match hex(&value.text(EXPECTED)?) {
            Some(digest) => Some(Digest(digest)),
            None => value.fail(value.error("not a SHA-256").expected(EXPECTED)),
        }
    }

    /// Enough of it for people to know it again.
    pub fn short(&self) -> String {
        let digits: String = self.hex().chars().take(12).collect();
        format!("{ALGORITHM}{digits}")
    }

    /// The 64 digits alone.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ALGORITHM}{}", self.hex())
    }
}

fn hex(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(digest)
}
