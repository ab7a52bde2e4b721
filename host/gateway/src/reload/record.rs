//! What became of reloads, for operators to see.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use limen_config::Errors;

use crate::snapshot::KeptBack;

/// The last reload, and how many there were.
#[derive(Default)]
pub struct Record {
    last: Mutex<Option<Arc<Outcome>>>,
    applied: AtomicU64,
    refused: AtomicU64,
}

/// One reload.
pub struct Outcome {
    pub at: SystemTime,
    pub took: Duration,
    /// The plugins that stay on their last good version, or why the running configuration stays.
    pub result: Result<Vec<KeptBack>, Errors>,
}

impl Record {
    /// The last reload; none since the start.
    pub fn last(&self) -> Option<Arc<Outcome>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many were applied, since the start.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// How many were refused, since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub fn keep(&self, outcome: Outcome) -> Arc<Outcome> {
        let counter = if outcome.result.is_ok() { &self.applied } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        let outcome = Arc::new(outcome);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome.clone());
        outcome
    }
}
