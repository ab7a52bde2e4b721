//! `jwt`: whether a token is one of those that a key set accepts.

use limen_policy::vault::TokenError;

use super::bindings::limen::policy::jwt::{self, JwtError};
use crate::state::State;

impl jwt::Host for State {
    fn verify(&mut self, key_set: String, token: String) -> Result<String, JwtError> {
        let granted = self.grounds.key_sets.iter().find(|granted| granted.name() == key_set);
        let claims = granted.ok_or(JwtError::Denied)?.verify(&token)?;
        Ok(claims.to_string())
    }
}

impl From<TokenError> for JwtError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Malformed => JwtError::Malformed,
            TokenError::UnknownKey => JwtError::UnknownKey,
            TokenError::BadSignature => JwtError::BadSignature,
            TokenError::Expired => JwtError::Expired,
            TokenError::NotYetValid => JwtError::NotYetValid,
            TokenError::WrongIssuer => JwtError::WrongIssuer,
            TokenError::WrongAudience => JwtError::WrongAudience,
        }
    }
}
