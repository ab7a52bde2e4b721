//! Something in parts that are locked one by one.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many parts.
const COUNT: usize = 64;

/// Parts, found by keys that are hashes already.
#[derive(Debug)]
pub(crate) struct Shards<T>(Box<[Mutex<T>]>);

impl<T> Shards<T> {
    pub const COUNT: usize = COUNT;

    /// The part of a key: by other bits than its place in there is likely to be.
    pub fn number(key: u128) -> usize {
        (key >> 64) as usize % COUNT
    }

    /// None: there is no such part.
    pub fn lock(&self, number: usize) -> Option<MutexGuard<'_, T>> {
        Some(self.0.get(number)?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T: Default> Default for Shards<T> {
    fn default() -> Self {
        Shards(std::iter::repeat_with(Mutex::default).take(COUNT).collect())
    }
}
