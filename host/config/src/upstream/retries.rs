//! `retries` and `hedge` of an upstream: when a request goes there more than once

use std::ops::RangeInclusive;
use std::time::Duration;

use http::Method;

use crate::section::section;
use crate::units::{KIB, MIB};
use crate::value::{duration, integer, size};

use super::Trouble;

section! {
    /// `retries = { max = 1, on = ["connect", "refused-stream", "reset"] }`: when a request that failed
    /// is sent again. Each try goes to an endpoint that has not been tried, as long as there is one.
    /// Once the head of a response has gone to the client there is no way back, and none after the
    /// client has gone. Left out: what no endpoint has seen goes on to the next one when a connection
    /// can't be made, and nothing else is sent twice but what `pool` says.
    pub struct Retries(section) {
        /// `max`: how often a request is sent again, 1 to 10. Default 1. That a connection can't be
        /// made and the next endpoint is asked does not count, and neither does what `pool` says of
        /// connections that are closed under a request, except in `budget`.
        pub max: usize = section.or("max", integer(1..=10), 1),

        /// `on`: what another try is made for: "connect", "refused-stream", "reset", "timeout", a
        /// status like "503", "gateway-error" (502, 503, 504) or "5xx". Default `["connect",
        /// "refused-stream", "reset"]`. (The words are Envoy's, but "5xx" means statuses only. With
        /// "connect", endpoints that refused are asked again after a pause.)
        pub on: Vec<Trouble> = section.or("on", Trouble::read_of_tries, UNANSWERED.to_vec()),

        /// `methods`: what an upstream may be asked twice. Default: what is idempotent, GET, HEAD,
        /// OPTIONS, TRACE, PUT and DELETE (RFC 9110, section 9.2.2). Other methods are sent again only
        /// when nothing of the request was looked at: after "connect" and "refused-stream".
        pub methods: Vec<Method> = section.or("methods", crate::route::methods, IDEMPOTENT.to_vec()),

        /// `buffer`: how much of a request body is kept so that it can be sent again, 0 to 64MiB. Default
        /// 64KiB. Bodies are streamed all the same; one that is longer is sent only once.
        pub buffer: u64 = section.or("buffer", size(0..=64 * MIB), BUFFER),

        /// `per_try`: most time for one try, from picking an endpoint to the head of its response, the
        /// sending of the body included; 1ms to 24h. Default: no limit of its own.
        pub per_try: Option<Duration> = section.optional("per_try", duration(TIMEOUT)),

        /// `backoff`: how long to wait before.
        pub backoff: Backoff = section.table("backoff", Backoff::read),

        /// `budget`: how many there may be of them.
        pub budget: RetryBudget = section.table("budget", RetryBudget::read),
    }
}

impl Retries {
    /// What `hedge` and `fallback` go by where no `retries` are written.
    pub fn never() -> Self {
        Retries {
            max: 0,
            on: UNANSWERED.to_vec(),
            methods: IDEMPOTENT.to_vec(),
            buffer: BUFFER,
            per_try: None,
            backoff: Backoff { base: BASE, max: MOST },
            budget: RetryBudget { percent: PERCENT, minimum: MINIMUM },
        }
    }
}

section! {
    /// `backoff = { base = "25ms", max = "250ms" }`: the pause before a request is sent again is a
    /// random time up to `base`, which doubles with each further try up to `max`.
    #[derive(Copy, PartialEq, Eq)]
    pub struct Backoff(section) {
        /// `base`: 0s to 1m. Default 25ms.
        pub base: Duration = section.or("base", duration(PAUSE), BASE),

        /// `max`: 0s to 1m. Default 250ms.
        pub max: Duration = section.or("max", duration(PAUSE), MOST),
    }
}

section! {
    /// `budget = { percent = 20, minimum = 3 }`: how many requests may be sent again, or hedged, by
    /// all workers together, so that an upstream in trouble is not buried under retries. What goes
    /// beyond is answered as if there were no retries.
    #[derive(Copy, PartialEq, Eq)]
    pub struct RetryBudget(section) {
        /// `percent`: of the requests of the last ten seconds, 0 to 100. Default 20: an upstream in
        /// trouble is never sent more than 1.2 times the requests of a healthy one.
        pub percent: usize = section.or("percent", integer(0..=100), PERCENT),

        /// `minimum`: so many in ten seconds there may be, however few the requests; 0 to 10000.
        /// Default 3.
        pub minimum: usize = section.or("minimum", integer(0..=10_000), MINIMUM),
    }
}

section! {
    /// `hedge = { after = "100ms", max = 1 }`: when no response has begun after some time, the request
    /// is sent to another endpoint as well. The first good answer wins, and the others are cancelled.
    /// Only what may be sent twice is, by `methods` and `buffer` of `retries` or their defaults, and
    /// within its `budget`; and never more than `requests` of `limits` lets. Left out: never.
    #[derive(Copy, PartialEq, Eq)]
    pub struct Hedge(section) {
        /// `after` (required): 1ms to 1m.
        pub after: Duration = section.required("after", duration(AFTER)),

        /// `max`: how many are sent beside the first, each `after` the one before; 1 to 3. Default 1.
        pub max: usize = section.or("max", integer(1..=3), 1),
    }
}

const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);
const PAUSE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(60);
const AFTER: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);
const BUFFER: u64 = 64 * KIB;
const BASE: Duration = Duration::from_millis(25);
const MOST: Duration = Duration::from_millis(250);
const PERCENT: usize = 20;
const MINIMUM: usize = 3;
const UNANSWERED: [Trouble; 3] = [Trouble::Connect, Trouble::RefusedStream, Trouble::Reset];
const IDEMPOTENT: [Method; 6] =
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE];
