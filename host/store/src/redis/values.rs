//! A named store that gateways share.
//!
//! A value is a string of the server's, under the store's name, and what a function does to it is one command or one
//! script there: atomic for whoever shares it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use limen_config::Store as Terms;
use redis::{Script, Value, cmd};

use super::{Redis, Trouble, Use, What};
use crate::{Answer, Life, MAX_KEY, MAX_VALUE, Store, StoreError};

static INCR: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("incr.lua")));
static SWAP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("swap.lua")));

/// A time to live that is longer has no end: it is 100 years, and the server counts in milliseconds since 1970.
const LONGEST: u64 = 100 * 366 * 24 * 3600 * 1000;

/// Keys and values in a [`Redis`].
pub struct SharedValues {
    redis: Arc<Redis>,
    /// What the name of each key begins with.
    prefix: String,
    /// In milliseconds; 0: without an end.
    ttl: AtomicU64,
}

impl SharedValues {
    pub fn new(redis: Arc<Redis>, terms: &Terms) -> Self {
        // No store's name and key are another's.
        let name = terms.name.replace('%', "%25").replace(':', "%3A");
        let prefix = format!("{}kv:{name}:", redis.prefix);
        let values = SharedValues { redis, prefix, ttl: AtomicU64::new(0) };
        values.adopt(terms);
        values
    }

    fn key(&self, key: &str) -> String {
        [&self.prefix, key].concat()
    }

    /// Milliseconds; 0: without an end.
    fn life(&self, life: Life) -> u64 {
        match life {
            Life::Usual => self.ttl.load(Ordering::Relaxed),
            Life::Endless => 0,
            Life::For(time) => millis(time),
        }
    }

    async fn ask(&self, what: What) -> Result<Value, StoreError> {
        Ok(self.redis.ask(Use::Kv, what).await?)
    }
}

impl Store for SharedValues {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Bytes>> {
        Box::pin(async move {
            // What is too long was never set.
            if key.len() > MAX_KEY {
                return Ok(None);
            }
            let mut get = cmd("GET");
            get.arg(self.key(key));
            match self.ask(What::Command(get)).await? {
                Value::Nil => Ok(None),
                Value::BulkString(value) => Ok(Some(value.into())),
                _ => Err(strange()),
            }
        })
    }

    fn set<'a>(&'a self, key: &'a str, value: Bytes, life: Life) -> Answer<'a, ()> {
        Box::pin(async move {
            check(key, &value)?;
            let mut set = cmd("SET");
            set.arg(self.key(key)).arg(&*value);
            let life = self.life(life);
            if life > 0 {
                set.arg("PX").arg(life);
            }
            self.ask(What::Command(set)).await?;
            Ok(())
        })
    }

    fn remove<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            if key.len() > MAX_KEY {
                return Ok(());
            }
            let mut remove = cmd("DEL");
            remove.arg(self.key(key));
            self.ask(What::Command(remove)).await?;
            Ok(())
        })
    }

    fn incr<'a>(&'a self, key: &'a str, delta: i64, life: Life) -> Answer<'a, i64> {
        Box::pin(async move {
            check(key, &Bytes::new())?;
            let mut call = INCR.prepare_invoke();
            call.key(self.key(key)).arg(delta).arg(self.life(life));
            match self.ask(What::Script(call)).await? {
                // Digits: a script's numbers are no 64 bits long.
                Value::BulkString(sum) => {
                    str::from_utf8(&sum).ok().and_then(|sum| sum.parse().ok()).ok_or_else(strange)
                }
                Value::Nil => Err(StoreError::WrongType),
                _ => Err(strange()),
            }
        })
    }

    fn swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        value: Bytes,
        life: Life,
    ) -> Answer<'a, bool> {
        Box::pin(async move {
            check(key, &value)?;
            let mut call = SWAP.prepare_invoke();
            call.key(self.key(key)).arg(&*value).arg(self.life(life));
            if let Some(expected) = expected {
                call.arg(expected);
            }
            match self.ask(What::Script(call)).await? {
                Value::Int(swapped) => Ok(swapped == 1),
                _ => Err(strange()),
            }
        })
    }

    fn adopt(&self, terms: &Terms) {
        self.ttl.store(terms.ttl.map_or(0, millis), Ordering::Relaxed);
    }
}

impl fmt::Debug for SharedValues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedValues").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl From<Trouble> for StoreError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NotAsked => StoreError::Other("the shared store is not reached".to_owned()),
            Trouble::Unknown => StoreError::TimedOut,
            Trouble::Refused(code) => StoreError::Other(format!("the shared store refuses it: {code}")),
        }
    }
}

fn check(key: &str, value: &Bytes) -> Result<(), StoreError> {
    let fits = key.len() <= MAX_KEY && value.len() <= MAX_VALUE;
    if fits { Ok(()) } else { Err(StoreError::TooLarge) }
}

fn strange() -> StoreError {
    StoreError::Other("the shared store answers something else".to_owned())
}

fn millis(time: Duration) -> u64 {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if millis > LONGEST { 0 } else { millis.max(1) }
}
