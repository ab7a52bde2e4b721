//! `[upstream.NAME]`

mod affinity;
mod alone;
mod balance;
mod breaker;
mod endpoint;
mod fallback;
mod health;
mod host;
mod outlier;
mod pool;
mod protocol;
mod retries;
mod timeout;
mod tls;
mod trouble;

use std::time::Duration;

use crate::Place;
use crate::section::{Section, section};
use crate::value::{duration, integer, some, table};

pub use affinity::{Affinity, AffinityKey, SameSite};
pub use balance::{Balance, HashBy};
pub use breaker::{Breaker, UpstreamLimits};
pub use endpoint::{Endpoint, Lookup, Scheme};
pub use fallback::{Fallback, StandIn};
pub use health::{Health, Probe};
pub use host::UpstreamHost;
pub use outlier::Outlier;
pub use pool::UpstreamPool;
pub use protocol::{ResponseHead, UpstreamHttp2, UpstreamProtocol};
pub use retries::{Backoff, Hedge, Retries, RetryBudget};
pub use timeout::UpstreamTimeouts;
pub use tls::{UpstreamTls, Verify};
pub use trouble::Trouble;

section! {
    /// `[upstream.NAME]`: servers that answer the same requests.
    pub struct Upstream(section, name: &str) {
        /// What a route's `upstream` calls it.
        pub name: String = Some(name.to_owned()),

        /// `endpoints` (required): at least one, like "http://127.0.0.1:9001" or `{ url = "http://users.internal",
        /// weight = 2, priority = 1 }`; each address of a name is an endpoint. `weight` is 1 to 1000, default
        /// 1. Requests go to the group with the lowest `priority` (0 to 99, default 0), which carries 1.4
        /// times its healthy share of them; the rest goes to the next group. `{ srv =
        /// "_http._tcp.users.internal", scheme = "https" }` takes hosts, ports, priorities and weights from
        /// DNS (RFC 2782); `scheme` is "http" (default) or "https".
        pub endpoints: Vec<Endpoint> = section.required("endpoints", some(Endpoint::read)),

        /// `balance`: how one of them is chosen for a request: "round-robin" (default), "least-requests"
        /// (of two at random, the one with fewer requests under way, over all workers), "random", or
        /// `{ hash = ... }` of "client", "path", `{ header = "x-user" }`, `{ cookie = "user" }` or `{ query =
        /// "user" }`: requests that are alike go to the same endpoint, and when one comes or goes only
        /// its share moves.
        pub balance: Balance = section.or("balance", Balance::read, Balance::RoundRobin),

        /// `affinity`: a client stays with its endpoint. Left out: it doesn't.
        pub affinity: Option<Affinity> = section.optional("affinity", table(Affinity::read)),

        /// `health`: each endpoint is asked how it is. Left out: it isn't.
        pub health: Option<Health> = section.optional("health", table(Health::read)),

        /// `outlier`: an endpoint that fails requests is left alone for a while. Left out: it isn't.
        pub outlier: Option<Outlier> = section.optional("outlier", table(Outlier::read)),

        /// `slow_start`: an endpoint that is new or healthy again gets a tenth of its share of requests at
        /// first, and more and more of it within this time, 100ms to 1h. Not with a hash, which would
        /// move requests back and forth. Left out: it gets all of it at once.
        pub slow_start: Option<Duration> = section.optional("slow_start", duration(SLOW_START)),

        /// `panic`: when less than this percentage of a group's endpoints is healthy and no other group
        /// can take over, all of them are used, healthy or not: better some errors than all requests
        /// on the few that are left. 0 to 100; default 0: only when none is healthy. (Envoy's is 50.)
        pub panic: usize = section.or("panic", integer(0..=100), 0),

        /// `host`: what they read as `Host`. "keep": what the client asked for; "endpoint": name and port
        /// of the endpoint; anything else is the host itself. Default "keep".
        pub host: UpstreamHost = section.or("host", UpstreamHost::read, UpstreamHost::Keep),

        /// `timeout`: how long to wait for them.
        pub timeout: UpstreamTimeouts = section.table("timeout", UpstreamTimeouts::read),

        /// `protocol`: "auto", "http1" or "http2". Default "auto": `https` endpoints choose between
        /// HTTP/2 and HTTP/1.1 (ALPN), `http` endpoints get HTTP/1.1. With "http2", `http` endpoints get
        /// HTTP/2 with prior knowledge ("h2c"). What an endpoint says before its answer (103 Early Hints and
        /// other 1xx) goes no further: hyper has no way to send it on. (100 Continue is the gateway's word.)
        pub protocol: UpstreamProtocol =
            section.or("protocol", protocol::protocol, UpstreamProtocol::Auto),

        /// `tls`: how `https` endpoints are spoken to.
        pub tls: UpstreamTls = tls_of(section, endpoints.as_deref()),

        /// `pool`: which connections are kept.
        pub pool: UpstreamPool = section.table("pool", UpstreamPool::read),

        /// `http2`: connections that speak HTTP/2.
        pub http2: UpstreamHttp2 = section.table("http2", UpstreamHttp2::read),

        /// `response_head`: the largest head that is taken from them.
        pub response_head: ResponseHead = section.table("response_head", ResponseHead::read),

        /// `retries`: when a request is sent again.
        pub retries: Option<Retries> = section.optional("retries", table(Retries::read)),

        /// `hedge`: when a request is sent to a second endpoint because the first is slow.
        pub hedge: Option<Hedge> = section.optional("hedge", table(Hedge::read)),

        /// `limits`: how much at a time.
        pub limits: UpstreamLimits = section.table("limits", UpstreamLimits::read),

        /// `breaker`: when it is left alone for a while.
        pub breaker: Option<Breaker> = section.optional("breaker", table(Breaker::read)),

        /// `fallback`: what clients get in place of nothing.
        pub fallback: Option<Fallback> = section.optional("fallback", table(Fallback::read)),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

const SLOW_START: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

/// Settings for TLS that no endpoint would be spoken to with are a mistake: most likely in a scheme.
fn tls_of(section: &Section<'_>, endpoints: Option<&[Endpoint]>) -> Option<UpstreamTls> {
    let tls = section.table("tls", UpstreamTls::read);
    let written = section.get("tls");
    match (written, endpoints) {
        (Some(written), Some(endpoints)) if endpoints.iter().all(|it| it.scheme == Scheme::Http) => {
            let error = written.error("`tls` for an upstream without `https` endpoints");
            written.fail(error.expected("an endpoint like \"https://users.internal\""))
        }
        _ => tls,
    }
}
