//! What a route lets a request take: `limits` and `timeout`

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::section::section;
use crate::units::{GIB, MIB};
use crate::value::{Value, duration, size};

section! {
    /// `limits = { body = "1GiB" }` of a route; of `[defaults]`, for the routes that say nothing else.
    #[derive(Copy, PartialEq, Eq)]
    pub struct RouteLimits(section, default: RouteLimits) {
        /// `body`: the largest request body. A longer one is answered with 413, by its `Content-Length`
        /// before the upstream is asked; one that does not say its length is cut off when it has become
        /// too long, so that the upstream never has all of a request. 1B to 1024GiB, or "none".
        /// Default 1GiB: bodies are streamed and fill no memory.
        pub body: Option<u64> = section.or("body", or_none(size(BODY)), default.body),
    }
}

section! {
    /// `timeout = { request = "30s", body = "5m", body_idle = "60s", tunnel = "5m" }` of a route; of
    /// `[defaults]`, for the routes that say nothing else. Each 1ms to 24h. How long an upstream may take
    /// is said there.
    #[derive(Copy, PartialEq, Eq)]
    pub struct RouteTimeouts(section, default: RouteTimeouts) {
        /// `request`: from the head of the request to the head of its response, everything included:
        /// policies, the body's arrival, all tries. Then 504, or 408 where the client is what is waited
        /// for. A `grpc-timeout` that is shorter goes before it. Default "none": each part has a limit
        /// of its own.
        pub request: Option<Duration> =
            section.or("request", or_none(duration(TIMEOUT)), default.request),

        /// `body`: until the whole of a request body is there that a policy waits for. Then 408.
        /// Default 5m.
        pub body: Duration = section.or("body", duration(TIMEOUT), default.body),

        /// `body_idle`: between two pieces of a request body. Then 408. Default 60s.
        pub body_idle: Duration = section.or("body_idle", duration(TIMEOUT), default.body_idle),

        /// `tunnel`: how long a WebSocket or another upgraded connection may be silent in both
        /// directions. Then it is closed. Default 5m.
        pub tunnel: Duration = section.or("tunnel", duration(TIMEOUT), default.tunnel),
    }
}

const BODY: RangeInclusive<u64> = 1..=1024 * GIB;
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);

impl Default for RouteLimits {
    fn default() -> Self {
        RouteLimits { body: Some(1024 * MIB) }
    }
}

impl Default for RouteTimeouts {
    fn default() -> Self {
        RouteTimeouts {
            request: None,
            body: Duration::from_secs(300),
            body_idle: Duration::from_secs(60),
            tunnel: Duration::from_secs(300),
        }
    }
}

/// "none", or what `read` reads.
fn or_none<'a, T>(read: impl Fn(&Value<'a>) -> Option<T>) -> impl Fn(&Value<'a>) -> Option<Option<T>> {
    move |value| match value.is_text("none") {
        true => Some(None),
        false => read(value).map(Some),
    }
}
