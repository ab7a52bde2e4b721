//! What policies use by its name and nobody gets to see, and the keys that tokens are verified with.
//!
//! Values come from the gateway, which reads them where they are kept. Nothing here can be printed.

mod key_set;
mod keys;
mod secret;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use key_set::{KeySet, Renewal, RenewalReading, RenewalTerms, TokenError, TokenTerms};
pub use keys::{Key, KeyError};
pub use secret::Secret;

/// All secrets and key sets of a configuration, by their names.
#[derive(Clone, Debug, Default)]
pub struct Vault {
    pub secrets: BTreeMap<String, Arc<Secret>>,
    pub key_sets: BTreeMap<String, Arc<KeySet>>,
}
