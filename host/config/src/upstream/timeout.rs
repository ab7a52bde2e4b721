//! `timeout` of an upstream

use std::time::Duration;

use crate::section::section;
use crate::value::duration;

const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);

section! {
    /// `timeout = { connect = "1s", first_byte = "30s", idle = "60s" }`, each 1ms to 24h.
    #[derive(Copy, PartialEq, Eq, Hash)]
    pub struct UpstreamTimeouts(section) {
        /// `connect`: until the connection stands. Default 1s.
        pub connect: Duration = section.or("connect", duration(TIMEOUT), Duration::from_secs(1)),

        /// `first_byte`: from the request to the head of the response. Default 30s.
        pub first_byte: Duration = section.or("first_byte", duration(TIMEOUT), Duration::from_secs(30)),

        /// `idle`: between two pieces of a body; a stream may live as long as it moves. Default 60s.
        pub idle: Duration = section.or("idle", duration(TIMEOUT), Duration::from_secs(60)),
    }
}
