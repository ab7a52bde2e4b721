//! `protocol`, `http2` and `response_head` of an upstream

use std::time::Duration;

use crate::section::section;
use crate::units::{KIB, MIB};
use crate::value::{choice, duration, integer, size};

const PING: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// `protocol`: what endpoints are spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// "auto": `https` endpoints choose between HTTP/2 and HTTP/1.1 (ALPN), `http` ones get HTTP/1.1.
    Auto,
    /// "http1": HTTP/1.1.
    Http1,
    /// "http2": HTTP/2, with prior knowledge on `http` ("h2c").
    Http2,
}

pub(super) fn protocol(value: &crate::value::Value<'_>) -> Option<UpstreamProtocol> {
    choice(&[
        ("auto", UpstreamProtocol::Auto),
        ("http1", UpstreamProtocol::Http1),
        ("http2", UpstreamProtocol::Http2),
    ])(value)
}

section! {
    /// `http2 = { ping = "5m", ping_timeout = "20s" }`: connections to endpoints that speak HTTP/2. Each
    /// worker has as few as what an endpoint lets it have under way (SETTINGS_MAX_CONCURRENT_STREAMS)
    /// allows.
    #[derive(Copy, PartialEq, Eq)]
    pub struct UpstreamHttp2(section) {
        /// `ping`: a connection with requests under way that has been silent for so long is asked
        /// whether it is still there. 1s to 24h; default 5m, as often as gRPC servers suffer it.
        pub ping: Duration = section.or("ping", duration(PING), Duration::from_secs(300)),

        /// `ping_timeout`: how long it has for the answer before it is closed. 1s to 24h; default 20s.
        pub ping_timeout: Duration = section.or("ping_timeout", duration(PING), Duration::from_secs(20)),
    }
}

section! {
    /// `response_head = { headers = 100, size = "64KiB" }`: the largest head of a response (and the
    /// largest trailers) that is taken from an endpoint; what is larger is answered with 502.
    #[derive(Copy, PartialEq, Eq)]
    pub struct ResponseHead(section) {
        /// `headers`: how many header fields. 1 to 4096; default 100. (HTTP/2 counts only their size.)
        pub headers: usize = section.or("headers", integer(1..=4096), 100),

        /// `size`: bytes of all of it. 1KiB to 1MiB; default 64KiB.
        pub size: u64 = section.or("size", size(KIB..=MIB), 64 * KIB),
    }
}
