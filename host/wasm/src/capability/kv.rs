//! `kv`: named stores that the plugin is granted.

use std::sync::Arc;
use std::time::Duration;

use limen_store::{Life, Store, StoreError};

use super::bindings::limen::policy::kv::{self, KvError};
use crate::registry::StoreShelf;
use crate::state::State;

/// The stores that a plugin may use.
#[derive(Default)]
pub(crate) struct Stores {
    /// By the names that it is granted them under.
    pub(crate) granted: Vec<(String, Arc<dyn Store>)>,
    /// Those of the gateway, to tell what is missing from what is not granted; none in `configure`.
    pub(crate) all: Option<Arc<StoreShelf>>,
}

impl State {
    fn store(&self, name: &str) -> Result<Arc<dyn Store>, KvError> {
        let Stores { granted, all } = &self.grounds.stores;
        match granted.iter().find(|(granted, _)| granted == name) {
            Some((_, store)) => Ok(store.clone()),
            None if all.as_ref().is_some_and(|all| all.count(|(known, _)| known == name) == 0) => {
                Err(KvError::NoSuchStore)
            }
            None => Err(KvError::Denied),
        }
    }
}

impl kv::Host for State {
    async fn get(&mut self, store: String, key: String) -> Result<Option<Vec<u8>>, KvError> {
        let store = self.store(&store)?;
        let value = store.get(&key).await?;
        Ok(value.map(Into::into))
    }

    async fn set(
        &mut self,
        store: String,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Result<(), KvError> {
        let store = self.store(&store)?;
        Ok(store.set(&key, value.into(), life(ttl_ms)).await?)
    }

    async fn remove(&mut self, store: String, key: String) -> Result<(), KvError> {
        let store = self.store(&store)?;
        Ok(store.remove(&key).await?)
    }

    async fn incr(
        &mut self,
        store: String,
        key: String,
        delta: i64,
        ttl_ms: Option<u64>,
    ) -> Result<i64, KvError> {
        let store = self.store(&store)?;
        Ok(store.incr(&key, delta, life(ttl_ms)).await?)
    }

    async fn swap(
        &mut self,
        store: String,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> Result<bool, KvError> {
        let store = self.store(&store)?;
        let swapped = store.swap(&key, expected.as_deref(), value.into(), life(ttl_ms));
        Ok(swapped.await?)
    }
}

fn life(ttl_ms: Option<u64>) -> Life {
    match ttl_ms {
        None => Life::Usual,
        Some(0) => Life::Endless,
        Some(ms) => Life::For(Duration::from_millis(ms)),
    }
}

impl From<StoreError> for KvError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::TooLarge => KvError::TooLarge,
            StoreError::WrongType => KvError::WrongType,
            StoreError::TimedOut => KvError::TimedOut,
            StoreError::Other(reason) => KvError::Other(reason),
        }
    }
}
