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

/// What the connection took which the response came on: waiting for its turn, TCP and TLS. `None`: no upstream has
/// answered, or an existing connection was used.
pub fn connect() -> Option<Duration> {
    host::timing::connect_us().map(Duration::from_micros)
}

/// How often the request was sent to an endpoint, retries and hedges included. 0 until the response phases, and
/// where no upstream was asked.
pub fn attempts() -> u32 {
    host::timing::attempts()
}

/// The endpoint that has answered or, if none has, the last that was asked: `host:port`, or the path of a Unix
/// socket. `None` until the response phases, and where no upstream was asked.
pub fn endpoint() -> Option<String> {
    host::timing::endpoint()
}
