//! `timing`, on the clock that a test moves.

use super::current;

pub(crate) fn since_received_us() -> u64 {
    current(|process, exchange| process.counters.now_ms.saturating_sub(exchange.received_ms) * 1000)
}

pub(crate) fn upstream_us() -> Option<u64> {
    current(|_, exchange| exchange.upstream_us)
}
