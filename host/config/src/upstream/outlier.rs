//! `outlier` of an upstream

use std::time::Duration;

use crate::section::section;
use crate::value::{duration, integer};

section! {
    /// `outlier = {}`: what requests meet tells how an endpoint is, too. One that fails too often in a
    /// row is ejected: it gets no requests for a while, as if it were unhealthy.
    #[derive(PartialEq, Eq)]
    pub struct Outlier(section) {
        /// `failures`: so many in a row eject it, 1 to 1000: no connection, a connection that broke
        /// before the head of the answer, no answer in time, or a 502, 503 or 504. Default 5.
        pub failures: usize = section.or("failures", integer(1..=1000), 5),

        /// `errors`: so many answers from 500 to 599 in a row eject it as well, 1 to 1000. Left out:
        /// no number of them does.
        pub errors: Option<usize> = section.optional("errors", integer(1..=1000)),

        /// `ejection`: for how long the first time, 10ms to 24h; twice as long each time after that.
        /// Default 30s.
        pub ejection: Duration = section.or("ejection", duration(EJECTION), Duration::from_secs(30)),

        /// `max_ejection`: for how long at most, 10ms to 24h. One that has been back for so long begins
        /// with `ejection` again. Default 5m.
        pub max_ejection: Duration =
            section.or("max_ejection", duration(EJECTION), Duration::from_secs(300)),

        /// `max_ejected`: no more than this percentage of the endpoints is ejected at a time, 1 to 100,
        /// but one always may be unless it is the only one. Default 50.
        pub max_ejected: usize = section.or("max_ejected", integer(1..=100), 50),
    }
}

const EJECTION: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_secs(24 * 3600);
