//! `secrets` and `secrets-reveal`: what a plugin may do with which secret.

use std::sync::Arc;

use limen_config::SecretGrant;
use limen_policy::vault::Secret;

use super::bindings::limen::policy::secrets::{self, SecretError};
use super::bindings::limen::policy::secrets_reveal;
use crate::state::State;

/// A secret, and what the plugin may do with it.
pub(crate) struct GrantedSecret {
    pub(crate) secret: Arc<Secret>,
    pub(crate) grant: SecretGrant,
}

impl State {
    fn secret(&self, name: &str, needed: SecretGrant) -> Result<&Secret, SecretError> {
        let mut granted = self.grounds.secrets.iter();
        let granted = granted.find(|granted| granted.secret.name() == name && granted.grant >= needed);
        granted.map(|granted| &*granted.secret).ok_or(SecretError::Denied)
    }
}

impl secrets::Host for State {
    fn hmac_sha256(&mut self, name: String, data: Vec<u8>) -> Result<Vec<u8>, SecretError> {
        Ok(self.secret(&name, SecretGrant::Sign)?.hmac_sha256(&data))
    }

    fn hmac_sha256_verify(&mut self, name: String, data: Vec<u8>, tag: Vec<u8>) -> Result<bool, SecretError> {
        Ok(self.secret(&name, SecretGrant::Sign)?.is_hmac_sha256(&data, &tag))
    }
}

impl secrets_reveal::Host for State {
    fn reveal(&mut self, name: String) -> Result<String, SecretError> {
        let value = self.secret(&name, SecretGrant::Reveal)?.reveal();
        std::str::from_utf8(value).map(str::to_owned).map_err(|_| SecretError::NotText)
    }
}
