//! `breaker` and `limits` of an upstream: when it is left alone

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::section::section;
use crate::value::{duration, integer};

section! {
    /// `breaker = { errors = 50, requests = 20 }`: a circuit breaker for the upstream as a whole. It
    /// opens when too many requests fail: no connection, a reset, a timeout, or a status of 500 and
    /// above. Open, it answers 503 with `Retry-After` at once. Then it lets a few requests pass, and
    /// closes when they succeed. All workers share its state, and a reload keeps it. Left out: none.
    #[derive(Copy, PartialEq, Eq)]
    pub struct Breaker(section) {
        /// `errors`: it opens when so many percent of the requests in `window` have failed, 1 to 100.
        /// Default 50.
        pub errors: usize = section.or("errors", integer(1..=100), 50),

        /// `requests`: it does not open before there were so many in `window`, 1 to 1000000. Default 20.
        pub requests: usize = section.or("requests", integer(1..=1_000_000), 20),

        /// `window`: 1s to 10m. Default 10s.
        pub window: Duration = section.or("window", duration(WINDOW), Duration::from_secs(10)),

        /// `open`: how long it stays open, 10ms to 1h. Default 5s. If the probes fail, twice as long,
        /// and so on up to ten times.
        pub open: Duration = section.or("open", duration(OPEN), Duration::from_secs(5)),

        /// `probes`: how many requests are let through then, and must all succeed; 1 to 1000. Default 3.
        pub probes: usize = section.or("probes", integer(1..=1000), 3),
    }
}

section! {
    /// `limits = { requests = 100, queue = 50, queue_wait = "1s" }`: what an upstream is given at a time,
    /// by all workers together. What goes beyond is answered 503 with `Retry-After` at once.
    #[derive(Copy, PartialEq, Eq)]
    pub struct UpstreamLimits(section) {
        /// `requests`: how many requests may be under way, from the first try to the end of the
        /// response's body; 1 to 1000000. Default: no limit.
        pub requests: Option<usize> = section.optional("requests", integer(1..=1_000_000)),

        /// `connections`: how many connections may be open, 1 to 1000000. When a worker needs one more,
        /// an idle one of another worker is closed for it; where all are in use, the request waits
        /// for `queue_wait` at most, or for `connect` of `timeout` where that is less, and so do as
        /// many as there are connections, or as `queue` lets. Health checks don't count. Default: no limit.
        pub connections: Option<usize> = section.optional("connections", integer(1..=1_000_000)),

        /// `queue`: how many more may wait for their turn, in the order in which they came; 0 to
        /// 1000000. Default 0.
        pub queue: usize = section.or("queue", integer(0..=1_000_000), 0),

        /// `queue_wait`: how long one waits at most, 1ms to 10m. Default 1s.
        pub queue_wait: Duration = section.or("queue_wait", duration(WAIT), Duration::from_secs(1)),
    }
}

const WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);
const OPEN: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3600);
const WAIT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);
