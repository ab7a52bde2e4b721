//! `timeout` of an upstream

use std::time::Duration;

use crate::section::section;
use crate::value::duration;

const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);

section! {
    /// `timeout = { connect = "4s", first_byte = "30s", idle = "60s" }`, each 1ms to 24h. `per_try` of
    /// `retries` is another one.
    #[derive(Copy, PartialEq, Eq, Hash)]
    pub struct UpstreamTimeouts(section) {
        /// `connect`: until a connection stands, all endpoints and tries of a request together: of two
        /// endpoints that don't answer at all, the first is given half of it. Default 4s: a SYN that was
        /// lost, or met a full queue, is sent again after one second and after three (RFC 6298, section 2).
        pub connect: Duration = section.or("connect", duration(TIMEOUT), Duration::from_secs(4)),

        /// `first_byte`: from the end of the request to the head of the response, for each try. Default
        /// 30s.
        pub first_byte: Duration = section.or("first_byte", duration(TIMEOUT), Duration::from_secs(30)),

        /// `idle`: between two pieces of a body; a stream may live as long as it moves. Default 60s.
        pub idle: Duration = section.or("idle", duration(TIMEOUT), Duration::from_secs(60)),

        /// `total`: from the beginning to the end of the response's body, with all tries and waiting
        /// in a queue. Default: no limit.
        pub total: Option<Duration> = section.optional("total", duration(TIMEOUT)),
    }
}
