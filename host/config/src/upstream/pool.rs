//! `pool` of an upstream

use std::time::Duration;

use crate::section::section;
use crate::value::{duration, integer};

const IDLE: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);
const LIFETIME: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(30 * 24 * 3600);

section! {
    /// `pool = { idle = 256, idle_timeout = "60s", max_lifetime = "1h", warm = 2 }`: which connections
    /// are kept. Every worker has its own to each endpoint, and these figures are for one worker and
    /// one endpoint. A kept connection that is closed under a request before anything of a response came
    /// had most likely been idle for too long for the endpoint: the request is sent once more, on a new
    /// connection, if it is idempotent (RFC 9112, section 9.3.1; as nginx does) and not longer than
    /// 16KiB, its body included, or if the endpoint did not begin with it (GOAWAY and REFUSED_STREAM of
    /// HTTP/2, and its body had not been begun with). Where there are `retries`, within their `budget`.
    #[derive(Copy, PartialEq, Eq)]
    pub struct UpstreamPool(section) {
        /// `idle`: connections without a request that are kept for later ones; 0 closes each after its
        /// answer. 0 to 65536; default 256. (An HTTP/2 connection is kept at any figure but 0.)
        pub idle: usize = section.or("idle", integer(0..=65_536), 256),

        /// `idle_timeout`: how long they are kept. Looked after every few seconds. 100ms to 24h;
        /// default 60s. Below what the endpoint itself has, fewer requests meet a connection that
        /// is just being closed.
        pub idle_timeout: Duration =
            section.or("idle_timeout", duration(IDLE), Duration::from_secs(60)),

        /// `max_lifetime`: a connection that is older gets no new requests, so that endpoints behind
        /// one address are found again. 1s to 720h; default: no limit.
        pub max_lifetime: Option<Duration> = section.optional("max_lifetime", duration(LIFETIME)),

        /// `warm`: connections that are made ahead of requests and made again when they are gone. 0 to
        /// 1024; default 0.
        pub warm: usize = section.or("warm", integer(0..=1024), 0),
    }
}
