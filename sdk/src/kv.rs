//! Named stores of the gateway, `[store.NAME]`, shared with every plugin that is granted them and kept over
//! reloads and versions. Needs a grant that names them: `kv = ["sessions"]`.
//!
//! A store may be elsewhere, so every function may wait, as calls of [`fetch`](crate::fetch) do. From any
//! hook and from `on_tick`, not from `configure`. What a failing hook has changed is not undone.
//!
//! ```no_run
//! # use limen::{kv, prelude::*};
//! # fn hook(session: &str) -> Result<Flow> {
//! let Some(user) = kv::store("sessions").get(session)? else {
//!     return Ok(Reply::from(401).into());
//! };
//! # Ok(Flow::Next)
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use crate::{Result, host};

/// The store of this name.
pub const fn store(name: &str) -> Store<'_> {
    Store { name, ttl: None }
}

/// A store, and how long what is set through it lives. A key is at most 1 KiB long, a value 1 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Store<'a> {
    name: &'a str,
    ttl: Option<Duration>,
}

/// Why it was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvError {
    /// The gateway has no store of this name.
    NoSuchStore,
    /// It has, and the store is not in the plugin's grant; or this is `configure`.
    Denied,
    /// The key or the value is too long, or longer than the whole store.
    TooLarge,
    /// `incr` of what is no integer.
    WrongType,
    /// The store did not answer in time; what became of it is unknown.
    TimedOut,
    /// For the log.
    Other(String),
}

impl Store<'_> {
    /// What is set from here on lives so long; zero: without an end. Default: the store's own `ttl`.
    pub const fn ttl(self, ttl: Duration) -> Self {
        Store { ttl: Some(ttl), ..self }
    }

    /// The value of a key; none if it was never set, has ended, or was dropped to make room.
    pub fn get(self, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        host::kv::get(self.name, key)
    }

    /// The same as text; none also if it is not UTF-8.
    pub fn get_text(self, key: &str) -> Result<Option<String>, KvError> {
        Ok(self.get(key)?.and_then(|value| String::from_utf8(value).ok()))
    }

    /// Set a key.
    pub fn set(self, key: &str, value: impl AsRef<[u8]>) -> Result<(), KvError> {
        host::kv::set(self.name, key, value.as_ref(), self.ttl_ms())
    }

    /// Remove a key. No error if it is absent.
    pub fn remove(self, key: &str) -> Result<(), KvError> {
        host::kv::remove(self.name, key)
    }

    /// Add to an integer and answer the new one. It starts at 0, and lives from then; `get` reads it as
    /// decimal digits.
    pub fn incr(self, key: &str, delta: i64) -> Result<i64, KvError> {
        host::kv::incr(self.name, key, delta, self.ttl_ms())
    }

    /// Set a key only if it has the expected value (none: only if it is absent). Whether it had.
    pub fn swap(self, key: &str, expected: Option<&[u8]>, value: impl AsRef<[u8]>) -> Result<bool, KvError> {
        host::kv::swap(self.name, key, expected, value.as_ref(), self.ttl_ms())
    }

    fn ttl_ms(self) -> Option<u64> {
        self.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for KvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KvError::NoSuchStore => "the gateway has no store of this name: [store.NAME]",
            KvError::Denied => "the plugin is not granted this store: grants = { kv = [...] }",
            KvError::TooLarge => "the key or the value is too long for the store",
            KvError::WrongType => "the value is no integer",
            KvError::TimedOut => "the store did not answer in time",
            KvError::Other(reason) => reason,
        })
    }
}

impl std::error::Error for KvError {}
