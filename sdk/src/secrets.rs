//! Secrets of the operator's, by their names. Keyed hashes need the grant `secrets = { NAME = "sign" }`: the
//! gateway computes them, and the policy does not see the secret. Seeing it needs `"reveal"`.
//!
//! Nothing is granted in `configure`. Each function costs one crossing.

use std::fmt;

use crate::host;

/// Why a secret was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretError {
    /// There is no secret of that name for this plugin, or not for this.
    Denied,
    /// Its value is not UTF-8.
    NotText,
}

/// The HMAC-SHA-256 of data, with the secret as its key: 32 bytes.
pub fn hmac_sha256(name: &str, data: impl AsRef<[u8]>) -> Result<Vec<u8>, SecretError> {
    host::secrets::hmac_sha256(name, data.as_ref())
}

/// Whether this is the HMAC-SHA-256 of data, made with the secret or with the one that it replaces.
/// Compared in constant time.
pub fn hmac_sha256_verify(
    name: &str,
    data: impl AsRef<[u8]>,
    tag: impl AsRef<[u8]>,
) -> Result<bool, SecretError> {
    host::secrets::hmac_sha256_verify(name, data.as_ref(), tag.as_ref())
}

/// The current value, for what has to be sent on as it is. Put it into no log and no answer.
pub fn reveal(name: &str) -> Result<String, SecretError> {
    host::secrets_reveal::reveal(name)
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SecretError::Denied => "no such secret is granted to the plugin",
            SecretError::NotText => "the secret is not UTF-8",
        })
    }
}

impl std::error::Error for SecretError {}
