//! `jwt`: tokens that a test has given, and what becomes of them.

use super::{Moment, current};
use crate::jwt::JwtError;

pub(crate) fn verify(key_set: &str, token: &str) -> Result<String, JwtError> {
    current(|process, exchange| {
        let granted = process.tokens.get(key_set).filter(|_| exchange.moment != Moment::Outside);
        match granted.ok_or(JwtError::Denied)?.get(token) {
            Some(Ok(claims)) => Ok(claims.to_string()),
            Some(Err(error)) => Err(*error),
            None => Err(JwtError::Malformed),
        }
    })
}
