//! `mirror` of a route

use http::HeaderValue;
use toml::de::DeValue;

use super::rewrite::host;
use crate::scope::Scope;
use crate::section::section;
use crate::units::{KIB, MIB};
use crate::value::{Value, integer, size};

section! {
    /// `mirror = { to = "shadow", percent = 1.5 }`: a copy of some requests, as the upstream is asked
    /// (after policies and `rewrite`), goes to a second upstream as well. Nobody waits for it, and what
    /// it answers is thrown away: whatever becomes of it, the client sees no difference. Requests for
    /// another protocol (WebSocket) are not copied.
    #[derive(PartialEq, Eq)]
    pub struct Mirror(section, scope: &Scope<'_>) {
        /// `to` (required): the name of an upstream.
        pub to: String = section.required("to", |value| scope.upstream(value)),

        /// `percent`: how many of the requests, above 0 to 100, with up to four places. Chance
        /// decides. Default 100.
        pub millionths: u32 = section.or("percent", percent, 1_000_000),

        /// `buffer`: how much of a request's body is kept in memory while the second upstream takes
        /// it more slowly than the first, 64KiB to 64MiB. Where that is not enough, the copy is cut
        /// off. Copies take this much memory times `in_flight` at most. Default "1MiB".
        pub buffer: u64 = section.or("buffer", size(64 * KIB..=64 * MIB), MIB),

        /// `in_flight`: copies under way at a time, in all workers together, 1 to 65536. Beyond that
        /// requests are not copied. Default 128.
        pub in_flight: usize = section.or("in_flight", integer(1..=65_536), 128),

        /// `host`: the `Host` of the copy, unless `host` of its upstream says otherwise. Left out: that
        /// of the request.
        pub host: Option<HeaderValue> = section.optional("host", host),
    }
}

/// Percent as millionths.
fn percent(value: &Value<'_>) -> Option<u32> {
    const EXPECTED: &str = "a number above 0, up to 100, like 1.5";
    let percent = match value.inner {
        DeValue::Integer(integer) => crate::value::whole(integer).map(|whole| whole as f64),
        DeValue::Float(float) => float.as_str().replace('_', "").parse().ok(),
        _ => return value.wrong_type(EXPECTED),
    };
    let millionths = percent.map(|percent: f64| (percent * 10_000.0).round());
    match millionths.filter(|it| (1.0..=1_000_000.0).contains(it)) {
        Some(millionths) => Some(millionths as u32),
        None => value.fail(value.error("out of range").expected(EXPECTED)),
    }
}
