//! The clock that a test moves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::current;

/// When tests begin: 2026-01-01T00:00:00Z.
const BEGIN: Duration = Duration::from_secs(1_767_225_600);

pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + BEGIN + monotonic()
}

pub(crate) fn monotonic() -> Duration {
    current(|process, _| Duration::from_millis(process.counters.now_ms))
}
