//! Whose signature a component needs.

use minisign_verify::PublicKey;

use crate::value::Value;

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
