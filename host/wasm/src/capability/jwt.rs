//! `jwt`: whether a token is one of those that a key set accepts.

use limen_policy::vault::TokenError;

use super::bindings::limen::policy::jwt::{self, JwtError};
use crate::state::State;

impl jwt::Host for State {
    async fn verify(&mut self, key_set: String, token: String) -> Result<String, JwtError> {
        let granted = self.grounds.key_sets.iter().find(|granted| granted.name() == key_set);
        let keys = granted.ok_or(JwtError::Denied)?.clone();
        let claims = keys.verify_with_news(&token).await?;
        Ok(claims.to_string())
    }
}

impl From<TokenError> for JwtError {
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Malformed => JwtError::Malformed,
            // The contract has no word for keys that could not be fetched; the log does.
            TokenError::UnknownKey | TokenError::Unavailable => JwtError::UnknownKey,
            TokenError::BadSignature => JwtError::BadSignature,
            TokenError::Expired => JwtError::Expired,
            TokenError::NotYetValid => JwtError::NotYetValid,
            TokenError::WrongIssuer => JwtError::WrongIssuer,
            TokenError::WrongAudience => JwtError::WrongAudience,
        }
    }
}
