//! `mode = "report"`: telling what would have been refused.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Exchange;

/// How many there were, and when the last one was told. Kept over reloads.
#[derive(Default)]
pub(super) struct Reports {
    found: AtomicU64,
    told: AtomicU64,
    /// In seconds.
    last: AtomicU64,
}

/// The most lines of one second: who reports must not drown who reads.
const MOST: u64 = 10;

impl Reports {
    pub(super) fn tell(&self, exchange: &Exchange, operation: &str, why: &str) {
        let found = self.found.fetch_add(1, Relaxed) + 1;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.last.swap(now, Relaxed) != now {
            self.told.store(0, Relaxed);
        }
        if self.told.fetch_add(1, Relaxed) >= MOST {
            return;
        }
        let (id, route) = (&exchange.id, exchange.route.name.as_str());
        tracing::warn!(%id, route, operation, found, "it would be refused: {why}");
    }
}
