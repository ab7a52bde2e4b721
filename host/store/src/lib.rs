//! What the gateway keeps: named stores that plugins share, and the state of built-in policies.
//!
//! [`Store`] is what whoever uses a named one sees, wherever the values are: keys and values with a time to
//! live, in [`Memory`] or as [`SharedValues`] in a [`Redis`]. [`Journal`] is what outlives the process, in a file. A
//! [`Rate`] is taken from in [`Buckets`], or as one of [`SharedRates`]; [`SharedPlaces`] are so many at a time, and
//! [`SharedRecords`] are what all gateways have to know. What can be got again is in a [`Folder`](folder::Folder).

pub mod folder;
mod journal;
mod memory;
mod private;
mod rate;
mod redis;
mod state;

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

pub use self::redis::{
    BOUNDS, Entered, Gone, Head, Page, QuotaTake, Reading, Redis, SharedPlace, SharedPlaces, SharedRates,
    SharedRecords, SharedValues, Trouble, Use,
};
pub use journal::{Changes, Journal, JournalError};
pub use memory::Memory;
pub use private::private_folder;
pub use rate::{Buckets, KeyHasher, KeySeeds, Level, MAX_WANTS, Rate, Step, Taken, Want};
pub use state::StateFile;

/// The longest key and the longest value, in bytes.
pub const MAX_KEY: usize = 1 << 10;
pub const MAX_VALUE: usize = 1 << 20;

/// Keys and values. Each function works on one key, atomically.
pub trait Store: fmt::Debug + Send + Sync {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Bytes>>;

    fn set<'a>(&'a self, key: &'a str, value: Bytes, life: Life) -> Answer<'a, ()>;

    fn remove<'a>(&'a self, key: &'a str) -> Answer<'a, ()>;

    /// Adds to the integer of a key, kept as decimal digits, and answers the new one. It begins at 0 and
    /// lives from then.
    fn incr<'a>(&'a self, key: &'a str, delta: i64, life: Life) -> Answer<'a, i64>;

    /// Sets a key if it has the expected value, or none; whether it had.
    fn swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        value: Bytes,
        life: Life,
    ) -> Answer<'a, bool>;

    /// Takes new terms over. The values stay, as far as there is room.
    fn adopt(&self, terms: &limen_config::Store);

    /// How many entries there are, and bytes, about; none if it does not know.
    fn size(&self) -> Option<(u64, u64)> {
        None
    }
}

/// What a store answers, when it does: it may be elsewhere.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// How long a value lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// As the store has it.
    Usual,
    Endless,
    For(Duration),
}

/// Why a store did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The key or the value is too long, or longer than the whole store.
    TooLarge,
    /// What is there is no integer.
    WrongType,
    /// No answer in time: what became of it is unknown.
    TimedOut,
    Other(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::TooLarge => f.write_str("the key or the value is too long"),
            StoreError::WrongType => f.write_str("the value is no integer"),
            StoreError::TimedOut => f.write_str("the store did not answer in time"),
            StoreError::Other(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for StoreError {}
