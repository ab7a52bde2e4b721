//! Places that gateways give out together: so many at a time under each key.
//!
//! The places of a key are a sorted set of the server's, each with the time when it ends. To enter is one round trip, and
//! nobody waits for one to leave. Who holds a place for longer renews it beside the requests; a gateway that is gone
//! does not, and what it held comes free. What was given out while the server was away is counted there as soon as it is back.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use redis::{Value, cmd};

use super::{Redis, Upkeep, Use, What};
use crate::rate::shards::Shards;

/// Both are sent as they are, each time: by its hash, a server that has just started is asked twice more, and what is left
/// in between would be taken after that, and by nobody.
const ENTER: &str = include_str!("enter.lua");
const RENEW: &str = include_str!("renew.lua");

/// Places that are renewed in one call.
const BATCH: usize = 500;
/// A place is renewed when this part of the time is over after which it ends.
const RENEWED_AFTER: u32 = 3;

/// The way to places that are counted in a [`Redis`].
pub struct SharedPlaces {
    redis: Arc<Redis>,
    /// What this gateway's places begin with, so that they are nobody else's.
    id: u64,
    next: AtomicU64,
    held: Shards<Held>,
    /// How long one is held that nobody renews, in milliseconds.
    ends_after: AtomicU64,
}

/// The places that this gateway holds, by key and number, and when they are to be renewed; none while one is asked for.
type Held = HashMap<(u128, u64), Option<Instant>>;

/// A place; it is left when this is dropped.
#[derive(Debug)]
pub struct SharedPlace {
    places: Arc<SharedPlaces>,
    key: u128,
    number: u64,
    /// It was not taken there.
    is_refused: bool,
}

/// What came of entering.
#[derive(Debug)]
pub enum Entered {
    Taken(SharedPlace),
    Full,
    /// The server does not answer. As long as it is held it is counted there, once it does.
    Unknown(SharedPlace),
}

impl SharedPlaces {
    pub fn new(redis: &Arc<Redis>) -> Arc<Self> {
        let places = Arc::new(SharedPlaces {
            redis: redis.clone(),
            id: RandomState::new().hash_one(std::process::id()),
            next: AtomicU64::new(0),
            held: Shards::default(),
            ends_after: AtomicU64::new(0),
        });
        let upkeep: Arc<dyn Upkeep> = places.clone();
        redis.look_after(&upkeep);
        places
    }

    /// Whether they are counted there.
    pub fn are_in(&self, redis: &Arc<Redis>) -> bool {
        Arc::ptr_eq(&self.redis, redis)
    }

    /// How long a place is held that nobody renews: some seconds at least.
    pub fn end_after(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.ends_after.store(millis, Ordering::Relaxed);
    }

    /// Takes a place under a key, if fewer than that are taken.
    pub async fn enter(self: &Arc<Self>, key: u128, limit: u32) -> Entered {
        let mut place = self.place(key);
        let mut enter = cmd("EVAL");
        enter.arg(ENTER).arg(1).arg(self.key(key));
        enter.arg(limit).arg(self.ends_after()).arg(self.name(place.number));
        match self.redis.ask(Use::Concurrency, What::Command(enter)).await {
            Ok(Value::Int(1)) => {
                place.renew_at(Instant::now() + self.renewed_after());
                Entered::Taken(place)
            }
            Ok(_) => {
                place.is_refused = true;
                Entered::Full
            }
            Err(_) => {
                place.renew_at(Instant::now());
                Entered::Unknown(place)
            }
        }
    }

    /// One that this gateway holds from now on.
    fn place(self: &Arc<Self>, key: u128) -> SharedPlace {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(mut held) = self.lock(key) {
            held.insert((key, number), None);
        }
        SharedPlace { places: self.clone(), key, number, is_refused: false }
    }

    fn ends_after(&self) -> u64 {
        self.ends_after.load(Ordering::Relaxed)
    }

    fn renewed_after(&self) -> Duration {
        Duration::from_millis(self.ends_after()) / RENEWED_AFTER
    }

    fn key(&self, key: u128) -> String {
        format!("{}places:{key:032x}", self.redis.prefix)
    }

    fn name(&self, number: u64) -> String {
        format!("{:016x}-{number:x}", self.id)
    }

    fn lock(&self, key: u128) -> Option<MutexGuard<'_, Held>> {
        self.held.lock(Shards::<Held>::number(key))
    }
}

impl Upkeep for SharedPlaces {
    fn tend(&self, all: bool) {
        let now = Instant::now();
        let next = now + self.renewed_after();
        for shard in 0..Shards::<Held>::COUNT {
            // Sent under the lock: what is left meanwhile is left after it was renewed.
            let Some(mut held) = self.held.lock(shard) else { continue };
            let due = held.iter_mut().filter_map(|(place, due)| {
                let is_due = due.is_some_and(|due| all || due <= now);
                is_due.then(|| *due = Some(next)).map(|()| *place)
            });
            let due: Vec<_> = due.collect();
            for batch in due.chunks(BATCH) {
                let mut renew = cmd("EVAL");
                renew.arg(RENEW).arg(batch.len());
                for (key, _) in batch {
                    renew.arg(self.key(*key));
                }
                renew.arg(self.ends_after());
                for (_, number) in batch {
                    renew.arg(self.name(*number));
                }
                self.redis.tell(Use::Concurrency, What::Command(renew));
            }
        }
    }
}

impl SharedPlace {
    fn renew_at(&self, due: Instant) {
        if let Some(mut held) = self.places.lock(self.key)
            && let Some(known) = held.get_mut(&(self.key, self.number))
        {
            *known = Some(due);
        }
    }
}

impl Drop for SharedPlace {
    fn drop(&mut self) {
        let Some(mut held) = self.places.lock(self.key) else { return };
        held.remove(&(self.key, self.number));
        if !self.is_refused {
            let mut leave = cmd("ZREM");
            leave.arg(self.places.key(self.key)).arg(self.places.name(self.number));
            self.places.redis.tell(Use::Concurrency, What::Command(leave));
        }
    }
}

impl fmt::Debug for SharedPlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedPlaces").field("redis", &self.redis).finish_non_exhaustive()
    }
}
