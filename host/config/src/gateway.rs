//! `[gateway]`

use std::time::Duration;

use crate::section::section;
use crate::value::{duration, integer};

section! {
    /// `[gateway]`: the process as a whole. Only in the main file.
    #[derive(PartialEq, Eq)]
    pub struct Gateway(section) {
        /// `workers`: how many threads serve, each with its own connections and isolates. 1 to
        /// 1024; left out, one per core.
        pub workers: Option<usize> = section.optional("workers", integer(1..=1024)),

        /// `drain`: how long requests in flight may go on after the gateway was told to stop, and those of
        /// a listener after it was removed. Their answers carry `Connection: close`, HTTP/2 connections a
        /// GOAWAY; idle ones are closed; what is open after that is cut off, upgraded connections too.
        /// 0s to 1h; default 30s.
        pub drain: Duration = section.or("drain", duration(DRAIN), Duration::from_secs(30)),

        /// `drain_delay`: how long the gateway, told to stop, still takes connections before it drains. It
        /// says at once that it is no longer ready (`/ready` of the admin listener), and a balancer in
        /// front needs a moment to see that. 0s to 1h; default 0s.
        pub drain_delay: Duration = section.or("drain_delay", duration(DRAIN), Duration::ZERO),
    }
}

const DRAIN: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3600);
