//! `secrets` and `secrets-reveal`: those that a test gives.

use super::current;
use crate::secrets::SecretError;

/// A secret of a test.
#[derive(Debug)]
pub(crate) struct Secret {
    pub(crate) value: Vec<u8>,
    pub(crate) previous: Option<Vec<u8>>,
    pub(crate) revealed: bool,
}

pub(crate) fn hmac_sha256(name: &str, data: &[u8]) -> Result<Vec<u8>, SecretError> {
    of(name, |secret| Ok(super::crypto::hmac_sha256(&secret.value, data)))
}

pub(crate) fn hmac_sha256_verify(name: &str, data: &[u8], tag: &[u8]) -> Result<bool, SecretError> {
    of(name, |secret| {
        let mut values = std::iter::once(&secret.value).chain(&secret.previous);
        Ok(values.any(|value| super::crypto::hmac_sha256(value, data) == tag))
    })
}

pub(crate) fn reveal(name: &str) -> Result<String, SecretError> {
    of(name, |secret| match secret.revealed {
        true => String::from_utf8(secret.value.clone()).map_err(|_| SecretError::NotText),
        false => Err(SecretError::Denied),
    })
}

fn of<T>(name: &str, use_it: impl FnOnce(&Secret) -> Result<T, SecretError>) -> Result<T, SecretError> {
    current(|process, exchange| {
        // Nothing is granted in `configure`.
        let granted = process.secrets.get(name).filter(|_| exchange.moment != super::Moment::Outside);
        use_it(granted.ok_or(SecretError::Denied)?)
    })
}
