//! What time it is. Always granted, at the price of an import of WASI each; in tests it is the time that the
//! test says.
//!
//! What is read in `configure` is the time when the policy was loaded, in every isolate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::host;

/// The time of the day. It may be set, and so go back.
pub fn now() -> SystemTime {
    host::clock::now()
}

/// The same as seconds since 1970, as tokens and signatures say it.
pub fn unix_seconds() -> u64 {
    now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Time that never goes back, from some moment on that is the same for one isolate: for the difference of two.
pub fn monotonic() -> Duration {
    host::clock::monotonic()
}
