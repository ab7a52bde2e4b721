//! `timing`, on the clock that a test moves.

use super::{Moment, current};

pub(crate) fn since_received_us() -> u64 {
    current(|process, exchange| process.counters.now_ms.saturating_sub(exchange.received_ms) * 1000)
}

pub(crate) fn upstream_us() -> Option<u64> {
    current(|_, exchange| exchange.upstream_us)
}

pub(crate) fn connect_us() -> Option<u64> {
    current(|_, exchange| exchange.connect_us)
}

pub(crate) fn attempts() -> u32 {
    way(|(number, _)| *number).unwrap_or_default()
}

pub(crate) fn endpoint() -> Option<String> {
    way(|(_, endpoint)| endpoint.clone())
}

/// What is known of the attempts: nothing before the response is there.
fn way<T>(look: impl FnOnce(&(u32, String)) -> T) -> Option<T> {
    current(|_, exchange| match exchange.moment {
        Moment::Response
        | Moment::ResponseBody
        | Moment::ResponseChunk
        | Moment::ResponseTrailers
        | Moment::Log
            if exchange.attempt.0 > 0 =>
        {
            Some(look(&exchange.attempt))
        }
        _ => None,
    })
}
