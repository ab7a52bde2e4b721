//! Where the time of the exchange went. Each function costs one crossing.

use std::time::Duration;

use crate::host;

/// Time since the head of the request was there.
pub fn since_received() -> Duration {
    Duration::from_micros(host::timing::since_received_us())
}

/// Time from when the request went on to the upstream until the head of its response was there, with waiting,
/// connecting and retries. `None`: it was not asked, or has not answered.
pub fn upstream() -> Option<Duration> {
    host::timing::upstream_us().map(Duration::from_micros)
}
