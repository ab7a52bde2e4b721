//! `health` of an upstream

use std::time::Duration;

use http::{HeaderValue, StatusCode};

use crate::section::{Section, section};
use crate::value::{Value, choice, duration, integer, list, string};

section! {
    /// `health = { path = "/healthz", interval = "5s" }`: each endpoint is asked how it is, by the
    /// process as a whole and not by each worker. One that is unhealthy gets no requests while others
    /// are there. The first check decides at once, and traffic waits for it when the gateway starts or
    /// loads a new configuration, though for no longer than 3s; without a result an endpoint counts as
    /// unhealthy.
    pub struct Health(section) {
        /// `kind`: "http" (default), "grpc" (`grpc.health.v1`, always HTTP/2) or "tcp" (a connection is
        /// enough). For "http" there are `path` (default "/"), `host` (default: the endpoint's), `status`
        /// (a list of the good ones; default: 200 to 299) and `body` (what its first 64 KiB must
        /// contain); for "grpc" `service` (default "", the server as a whole) and `host`.
        pub probe: Probe = Probe::read(section),

        /// `interval`: from one check to the next, 100ms to 1h. Default 10s.
        pub interval: Duration = section.or("interval", duration(INTERVAL), Duration::from_secs(10)),

        /// `timeout`: a check that takes longer has failed, 10ms to 5m. Default 2s.
        pub timeout: Duration = section.or("timeout", duration(TIMEOUT), Duration::from_secs(2)),

        /// `healthy`: so many good checks in a row make an unhealthy endpoint healthy, 1 to 100.
        /// Default 2.
        pub healthy: usize = section.or("healthy", integer(1..=100), 2),

        /// `unhealthy`: so many failed checks in a row make a healthy endpoint unhealthy, 1 to 100.
        /// Default 3.
        pub unhealthy: usize = section.or("unhealthy", integer(1..=100), 3),

        /// `jitter`: each wait is longer by a random part of up to this percentage of `interval`, so that
        /// gateways don't ask all at once, 0 to 100. Default 10.
        pub jitter: usize = section.or("jitter", integer(0..=100), 10),
    }
}

/// What is asked, and which answer is a good one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// GET over HTTP/1.1; over HTTP/2 where that is the upstream's `protocol`.
    Http {
        /// `path`, with a query if need be. Default "/".
        path: String,
        /// `host`: the `Host` header. Default: the endpoint's.
        host: Option<HeaderValue>,
        /// `status`: the good ones. Default: any from 200 to 299.
        status: Option<Vec<StatusCode>>,
        /// `body`: what the first 64 KiB of the body must contain. Default: nothing.
        body: Option<String>,
    },
    Grpc {
        /// `service`: which one is asked for. Default "", the server as a whole.
        service: String,
        /// `host`: the authority. Default: the endpoint's.
        host: Option<HeaderValue>,
    },
    Tcp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Http,
    Grpc,
    Tcp,
}

const INTERVAL: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(300);
const KINDS: &[(&str, Kind)] = &[("http", Kind::Http), ("grpc", Kind::Grpc), ("tcp", Kind::Tcp)];

impl Probe {
    fn read(section: &Section<'_>) -> Option<Probe> {
        let kind = section.or("kind", choice(KINDS), Kind::Http);
        let path = section.optional("path", path);
        let host = section.optional("host", header_value);
        let status = section.optional("status", list(status));
        let body = section.optional("body", string);
        let service = section.optional("service", string);
        let (host, status, body, service) = (host?, status?, body?, service?);
        let strange: &[&'static str] = match kind? {
            Kind::Http => &["service"],
            Kind::Grpc => &["path", "status", "body"],
            Kind::Tcp => &["path", "host", "status", "body", "service"],
        };
        for key in strange {
            if let Some(value) = section.get(key) {
                let error = value.error(format!("`{key}` has no meaning for this kind of check"));
                return value.fail(error.hint("leave it out, or choose another `kind`"));
            }
        }
        Some(match kind? {
            Kind::Http => Probe::Http { path: path?.unwrap_or_else(|| "/".to_owned()), host, status, body },
            Kind::Grpc => Probe::Grpc { service: service.unwrap_or_default(), host },
            Kind::Tcp => Probe::Tcp,
        })
    }
}

fn path(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "a path that starts with `/`, like \"/healthz\"";
    let text = value.text(EXPECTED)?;
    let is_target = text.parse::<http::uri::PathAndQuery>().is_ok();
    if !text.starts_with('/') || text.contains('#') || !is_target {
        return value.fail(value.error(format!("not a path: `{text}`")).expected(EXPECTED));
    }
    Some(text)
}

fn header_value(value: &Value<'_>) -> Option<HeaderValue> {
    const EXPECTED: &str = "a host, like \"users.internal\"";
    let text = value.text(EXPECTED)?;
    match HeaderValue::from_str(&text) {
        Ok(host) if text.parse::<http::uri::Authority>().is_ok() => Some(host),
        _ => value.fail(value.error(format!("not a host: `{text}`")).expected(EXPECTED)),
    }
}

fn status(value: &Value<'_>) -> Option<StatusCode> {
    let number = integer(200..=599)(value)?;
    StatusCode::from_u16(u16::try_from(number).ok()?).ok()
}
