//! What a component has to be: its digest, and whose signature it needs.

use minisign_verify::PublicKey;

use crate::value::Value;

/// A SHA-256 as 64 hexadecimal digits.
pub(crate) fn sha256(value: &Value<'_>) -> Option<[u8; 32]> {
    const EXPECTED: &str = "64 hexadecimal digits, as `sha256sum` writes them";
    let text = value.text(EXPECTED)?;
    let mut digest = [0; 32];
    let is_hex = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let pairs =
        (0..32).map(|at| text.get(2 * at..2 * at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()));
    for (byte, read) in digest.iter_mut().zip(pairs) {
        match read.filter(|_| is_hex) {
            Some(read) => *byte = read,
            None => return value.fail(value.error("not a SHA-256").expected(EXPECTED)),
        }
    }
    Some(digest)
}

/// A public key as minisign prints it.
pub(crate) fn public_key(value: &Value<'_>) -> Option<PublicKey> {
    const EXPECTED: &str = "a minisign public key: the 56 characters that begin with RW";
    let text = value.text(EXPECTED)?;
    match PublicKey::from_base64(text.trim()) {
        Ok(key) => Some(key),
        Err(error) => value.fail(
            value
                .error(format!("not a public key: {error}"))
                .expected(EXPECTED)
                .hint("the second line of the `.pub` file that `minisign -G` makes"),
        ),
    }
}
