//! Spans by OpenTelemetry's conventions: one for each exchange, one for each attempt at an upstream, and one
//! for each hook of a policy, its ticks included.

pub mod context;
pub mod export;
mod span;
mod tick;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Request, StatusCode, header};
use limen_config::TraceParent;
use limen_policy::{Outcome, SecretPlace};

use super::access_log::Redaction;
use super::detail::Detail;
use super::metrics::KnownMethod;
use super::watch::{End, Ended};
use crate::upstream::Endpoint;
use context::{Parent, SpanId, TRACEPARENT, TRACESTATE, TraceId};
use export::Exporter;
use span::{Kind, Span, Value};
pub use tick::TracedTick;

/// What `[trace]` means.
pub struct Tracer {
    terms: limen_config::Trace,
    redaction: Redaction,
    exporter: Exporter,
}

/// The place of one exchange in its trace.
pub struct Traced {
    pub trace: TraceId,
    span: SpanId,
    parent: Option<SpanId>,
    pub sampled: bool,
    /// Nanoseconds since 1970, and the same moment on the clock that measures.
    begun: u64,
    started: Instant,
    user_agent: Option<header::HeaderValue>,
}

/// An attempt's own span.
pub struct TracedAttempt {
    span: SpanId,
    peer: String,
}

impl Tracer {
    /// `previous` is that of the running configuration, which goes on if it is the same.
    pub fn new(
        terms: &limen_config::Trace,
        secrets: &[SecretPlace],
        previous: Option<&Arc<Tracer>>,
    ) -> io::Result<Arc<Self>> {
        let redaction = Redaction::new(&[], &terms.redact_query, secrets);
        let is_same = |previous: &Tracer| previous.terms == *terms && previous.redaction == redaction;
        if let Some(same) = previous.filter(|previous| is_same(previous)) {
            return Ok(same.clone());
        }
        let exporter = Exporter::start(terms)?;
        Ok(Arc::new(Tracer { terms: terms.clone(), redaction, exporter }))
    }

    /// An exchange begins.
    pub fn begin(&self, head: &Request<()>, started: Instant) -> Traced {
        let parent = match self.terms.parent {
            TraceParent::Follow => Parent::of(head.headers()),
            TraceParent::Ignore => None,
        };
        let sampled = match parent {
            Some(parent) => parent.sampled,
            None => self.samples(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Traced {
            trace: parent.map_or_else(TraceId::random, |parent| parent.trace),
            span: SpanId::random(),
            parent: parent.map(|parent| parent.span),
            sampled,
            begun: nanos(now),
            started,
            user_agent: head.headers().get(header::USER_AGENT).filter(|_| sampled).cloned(),
        }
    }

    /// Whether a trace that begins here is recorded.
    fn samples(&self) -> bool {
        self.terms.sample >= 1.0 || fastrand::f64() < self.terms.sample
    }

    /// A policy makes a call of its own, in the trace that these headers name: its attempts are part of the
    /// hook, if that is in the trace as well, or of the exchange.
    pub fn call(&self, hook: Option<u64>, headers: &HeaderMap, started: Instant) -> Option<Traced> {
        let Parent { trace, span, sampled } = Parent::of(headers)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(Traced {
            trace,
            span: hook.map_or(span, SpanId),
            parent: Some(span),
            sampled,
            begun: nanos(now),
            started,
            user_agent: None,
        })
    }

    /// An attempt begins: `headers` are those of the request as it goes to this endpoint.
    pub fn attempt(&self, traced: &Traced, endpoint: &Endpoint, headers: &mut HeaderMap) -> TracedAttempt {
        let span = SpanId::random();
        put_parent(traced, span, headers);
        let peer = if traced.sampled { endpoint.address.to_string() } else { String::new() };
        TracedAttempt { span, peer }
    }

    /// Names the exchange itself as the parent of what comes of these headers.
    pub fn introduce(&self, traced: &Traced, headers: &mut HeaderMap) {
        put_parent(traced, traced.span, headers);
    }

    /// An attempt has ended; `error` is empty if it was answered.
    pub fn attempted(
        &self,
        traced: &Traced,
        attempt: TracedAttempt,
        method: KnownMethod,
        outcome: (Option<StatusCode>, &'static str),
        number: u32,
        started: Instant,
    ) {
        if !traced.sampled {
            return;
        }
        let (status, error) = outcome;
        let mut attributes: Vec<(&'static str, Value)> = vec![("http.request.method", method.name().into())];
        if let Some((host, port)) = attempt.peer.rsplit_once(':') {
            attributes.push(("server.address", host.trim_matches(['[', ']']).into()));
            attributes.extend(port.parse::<u16>().ok().map(|port| ("server.port", port.into())));
        }
        if number > 1 {
            attributes.push(("http.request.resend_count", (number - 1).into()));
        }
        let is_error = answer(status, error, 400, &mut attributes);
        self.exporter.send(Span {
            trace: traced.trace,
            id: attempt.span,
            parent: Some(traced.span),
            kind: Kind::Client,
            name: method.name().to_owned(),
            start: traced.at(started),
            end: traced.at(Instant::now()),
            attributes,
            is_error,
        });
    }

    /// The exchange has ended.
    pub fn end(&self, traced: &Traced, ended: &Ended<'_>, detail: &Detail) {
        if !traced.sampled {
            return;
        }
        let Ended { exchange, status, .. } = ended;
        let client = &exchange.client;
        let known = KnownMethod::from(&detail.method);
        let mut attributes: Vec<(&'static str, Value)> = vec![
            ("http.request.method", known.name().into()),
            ("url.path", detail.target.path().into()),
            ("url.scheme", if client.tls.is_some() { "https" } else { "http" }.into()),
            ("client.address", client.address.ip().to_string().into()),
            ("network.peer.address", client.peer.ip().to_string().into()),
            ("network.peer.port", client.peer.port().into()),
            ("network.protocol.version", protocol(detail.version).into()),
            ("limen.request_id", exchange.id.to_string().into()),
        ];
        if known == KnownMethod::Other {
            attributes.push(("http.request.method_original", detail.method.as_str().into()));
        }
        if let Some(query) = detail.target.query() {
            attributes.push(("url.query", self.redaction.query(query).into_owned().into()));
        }
        let host = detail.host.as_ref().and_then(|host| host.to_str().ok());
        if let Some(host) = detail.target.authority().map(|authority| authority.as_str()).or(host) {
            match host.rsplit_once(':') {
                Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                    attributes.push(("server.address", host.into()));
                    attributes.extend(port.parse::<u16>().ok().map(|port| ("server.port", port.into())));
                }
                _ => attributes.push(("server.address", host.into())),
            }
        }
        if let Some(agent) = &traced.user_agent {
            let agent = String::from_utf8_lossy(agent.as_bytes()).into_owned();
            attributes.push(("user_agent.original", agent.into()));
        }
        let mut name = if known == KnownMethod::Other { "HTTP" } else { known.name() }.to_owned();
        if !ended.path.is_empty() {
            name = format!("{name} {}", ended.path);
            attributes.push(("http.route", ended.path.into()));
            attributes.push(("limen.route", exchange.route.name.as_str().into()));
        }
        if !exchange.reason.is_empty() {
            attributes.push(("limen.reason", exchange.reason.into()));
        }
        let error = match ended.end {
            End::Complete => "",
            End::Client => "client_closed",
            End::Upstream => "upstream_broken",
            End::Policy => "policy_failed",
        };
        let is_error = answer(*status, error, 500, &mut attributes);
        self.exporter.send(Span {
            trace: traced.trace,
            id: traced.span,
            parent: traced.parent,
            kind: Kind::Server,
            name,
            start: traced.begun,
            end: traced.begun + nanos(ended.time),
            attributes,
            is_error,
        });
    }
}

impl Tracer {
    /// What policies did, as spans of their own.
    pub fn hooks(&self, traced: &Traced, ended: &Ended<'_>) {
        for (name, hook) in ended.hooks().filter(|_| traced.sampled) {
            let mut attributes: Vec<(&'static str, Value)> = vec![
                ("limen.policy", name.into()),
                ("limen.phase", hook.phase.name().into()),
                ("limen.outcome", hook.outcome.name().into()),
            ];
            if hook.calls > 1 {
                attributes.push(("limen.calls", hook.calls.into()));
            }
            self.exporter.send(Span {
                trace: traced.trace,
                id: SpanId(hook.id),
                parent: Some(traced.span),
                kind: Kind::Internal,
                name: format!("policy {name}"),
                start: traced.at(hook.began),
                end: traced.at(hook.ended),
                attributes,
                is_error: hook.outcome == Outcome::Failed,
            });
        }
    }
}

fn put_parent(traced: &Traced, span: SpanId, headers: &mut HeaderMap) {
    if traced.parent.is_none() {
        // It belongs to a trace that this one is not part of.
        headers.remove(TRACESTATE);
    }
    let parent = Parent { trace: traced.trace, span, sampled: traced.sampled };
    if let Some(value) = parent.header() {
        headers.insert(TRACEPARENT, value);
    }
}

impl Traced {
    fn at(&self, moment: Instant) -> u64 {
        self.begun + nanos(moment.saturating_duration_since(self.started))
    }
}

/// Status and error of a span; whether it is one, which statuses are from this one on.
fn answer(
    status: Option<StatusCode>,
    error: &'static str,
    errors_from: u16,
    attributes: &mut Vec<(&'static str, Value)>,
) -> bool {
    if let Some(status) = status {
        attributes.push(("http.response.status_code", status.as_u16().into()));
    }
    match (error, status.map(|status| status.as_u16())) {
        ("", Some(status)) if status >= errors_from => {
            attributes.push(("error.type", status.to_string().into()));
            true
        }
        ("", _) => false,
        (error, _) => {
            attributes.push(("error.type", error.into()));
            true
        }
    }
}

fn protocol(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
