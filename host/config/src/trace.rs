//! `[trace]`

use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::uri::{Scheme, Uri};

use crate::log::default_query;
use crate::section::section;
use crate::value::{Value, choice, duration, list, share, string};

section! {
    /// `[trace]`: spans of exchanges, of attempts at upstreams and of policies, exported by OTLP (protobuf over
    /// HTTP); a tick of a plugin is a trace of its own, with what it calls. Only in the main file. Without
    /// it `traceparent` and `tracestate` pass through untouched; with it each attempt at an upstream gets
    /// a `traceparent` of its own span (W3C Trace Context). A collector that is slow or gone never holds
    /// up an exchange: spans beyond a queue of 8192 are dropped and counted.
    #[derive(PartialEq)]
    pub struct Trace(section) {
        /// `endpoint` (required): where the collector is, "http://127.0.0.1:4318" or `https`. Without a
        /// path, `/v1/traces` is asked.
        pub endpoint: Uri = section.required("endpoint", endpoint),

        /// `headers`: sent with each export, like `{ authorization = "Bearer ${TOKEN}" }`.
        pub headers: Vec<(HeaderName, HeaderValue)> = section.or("headers", headers, Vec::new()),

        /// `service_name`: what these spans are of. 1 to 128 bytes; default "limen".
        pub service_name: String =
            section.or("service_name", crate::value::name, "limen".to_owned()),

        /// `sample`: the share of traces that begin here and are recorded, 0 to 1; default 1.
        pub sample: f64 = section.or("sample", share, 1.0),

        /// `parent`: "follow" (default) records a request that comes with a `traceparent` if that says so;
        /// "ignore" begins a trace of its own, for clients that are not to be trusted with it.
        pub parent: TraceParent = section.or("parent", choice(TraceParent::CHOICES), TraceParent::Follow),

        /// `timeout`: of one export. 100ms to 60s; default 10s.
        pub timeout: Duration = section.or("timeout", duration(TIMEOUT), Duration::from_secs(10)),

        /// `redact_query`: parameters whose values are left out of `url.query`. Default: as those of the
        /// access log.
        pub redact_query: Vec<String> = section.or("redact_query", list(string), default_query()),
    }
}

const TIMEOUT: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);

/// What a client's `traceparent` decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceParent {
    Follow,
    Ignore,
}

impl TraceParent {
    const CHOICES: &[(&str, TraceParent)] =
        &[("follow", TraceParent::Follow), ("ignore", TraceParent::Ignore)];
}

fn endpoint(value: &Value<'_>) -> Option<Uri> {
    const EXPECTED: &str = "an address like \"http://127.0.0.1:4318\"";
    let text = value.text(EXPECTED)?;
    let usable = |uri: &Uri| {
        let scheme = uri.scheme().is_some_and(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme));
        scheme && uri.host().is_some_and(|host| !host.is_empty()) && !text.contains('@')
    };
    match text.parse::<Uri>().ok().filter(usable) {
        Some(uri) => Some(uri),
        None => value.fail(value.error("not the address of a collector").expected(EXPECTED)),
    }
}

fn headers(value: &Value<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let section = value.section()?;
    let read = section.entries().map(|(name, value)| {
        let Ok(header) = HeaderName::try_from(name) else {
            return value.fail(value.error(format!("not the name of a header: `{name}`")));
        };
        let text = value.text("the value of a header")?;
        // It may be a secret: not into the message.
        let Ok(mut text) = HeaderValue::try_from(text) else {
            return value.fail(value.error("not the value of a header"));
        };
        text.set_sensitive(true);
        Some((header, text))
    });
    let read: Vec<Option<_>> = read.collect();
    read.into_iter().collect()
}
