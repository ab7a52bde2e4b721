//! The one place where something that went wrong becomes an answer and a log line.
//!
//! One exchange has one line: that of the access log, if it goes where this log goes and says `why`; else
//! one of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use limen_policy::{Denied, Exchange, Refusal, RequestId, Thinned};

use crate::body::StreamError;

/// What went wrong, whose fault it is, what the client reads and what the log says.
#[derive(Debug)]
pub struct Fault {
    pub blame: Blame,
    pub status: StatusCode,
    /// One word of a fixed list, for the access log and metrics.
    pub code: &'static str,
    /// For the client: never anything of the inside.
    detail: &'static str,
    /// For the log: everything.
    pub reason: String,
    allow: Option<String>,
    /// When to come again, in seconds.
    retry_after: Option<u64>,
    /// Where the client is sent.
    pub location: Option<HeaderValue>,
    connection: Connection,
    /// The log has been told, once for many.
    told: bool,
    /// The lines that its own one is among, if there may be many like it.
    lines: Option<Arc<Thinned>>,
}

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    Keep,
    /// Where the request ends is in doubt, or too far away.
    Close,
}

/// Whose fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    Client,
    Plugin,
    Upstream,
}

impl Fault {
    fn new(
        blame: Blame,
        status: StatusCode,
        code: &'static str,
        detail: &'static str,
        reason: impl Into<String>,
    ) -> Self {
        let connection = Connection::Keep;
        let (allow, retry_after) = (None, None);
        Fault {
            blame,
            status,
            code,
            detail,
            reason: reason.into(),
            allow,
            retry_after,
            location: None,
            connection,
            told: false,
            lines: None,
        }
    }

    /// Nothing more is read from a client that sends such things.
    fn closing(self) -> Self {
        Fault { connection: Connection::Close, ..self }
    }

    pub fn no_route() -> Self {
        Self::new(
            Blame::Client,
            StatusCode::NOT_FOUND,
            "no_route",
            "No route matches this request.",
            "no route matches",
        )
    }

    pub fn method_not_allowed(allow: String) -> Self {
        let reason = format!("the routes here allow {allow}");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let mut fault = Self::new(
            Blame::Client,
            status,
            "method_not_allowed",
            "This method is not allowed here.",
            reason,
        );
        fault.allow = Some(allow);
        fault
    }

    pub fn bad_request(detail: &'static str) -> Self {
        Self::new(Blame::Client, StatusCode::BAD_REQUEST, "bad_request", detail, detail).closing()
    }

    /// The client is to ask elsewhere.
    pub fn redirect(status: StatusCode, location: HeaderValue) -> Self {
        let detail = "The resource is at another place.";
        let mut fault = Self::new(Blame::Client, status, "redirect", detail, "redirected");
        fault.location = Some(location);
        fault
    }

    pub fn target_too_long(limit: u64) -> Self {
        let reason = format!("the target is longer than {limit} bytes");
        let detail = "The target is too long.";
        Self::new(Blame::Client, StatusCode::URI_TOO_LONG, "target_too_long", detail, reason)
    }

    pub fn too_many_headers(limit: usize) -> Self {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        let reason = format!("it has more than {limit} headers");
        Self::new(Blame::Client, status, "too_many_headers", "The request has too many headers.", reason)
    }

    /// The client can only go on in a protocol that the route does not allow.
    pub fn upgrade_refused() -> Self {
        let detail = "This protocol is not spoken here.";
        let reason = "the route's `upgrades` don't name the protocol";
        Self::new(Blame::Client, StatusCode::NOT_IMPLEMENTED, "upgrade_refused", detail, reason)
    }

    pub fn loop_detected() -> Self {
        Self::new(
            Blame::Client,
            StatusCode::LOOP_DETECTED,
            "loop_detected",
            "The request goes round in circles.",
            "it has been here too often (Via)",
        )
    }

    /// `whose` limit it is goes into the log.
    pub fn body_too_large(limit: u64, whose: &str) -> Self {
        let reason = format!("the request body is longer than the {limit} bytes that {whose}");
        Self::new(
            Blame::Client,
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "The request body is too large.",
            reason,
        )
        .closing()
    }

    pub fn body_too_slow() -> Self {
        let detail = "The request body did not arrive in time.";
        Self::new(
            Blame::Client,
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            detail,
            "the request body stalled",
        )
        .closing()
    }

    pub fn body_cut_off(reason: impl Into<String>) -> Self {
        let detail = "The request body ended early.";
        Self::new(Blame::Client, StatusCode::BAD_REQUEST, "body_cut_off", detail, reason).closing()
    }

    /// The time for the whole request is over, and it is not the client that was waited for.
    pub fn request_slow(limit: Duration) -> Self {
        let detail = "The request took too long.";
        let reason = format!("there was no response within the {limit:?} of the request");
        Self::new(Blame::Upstream, StatusCode::GATEWAY_TIMEOUT, "request_slow", detail, reason)
    }

    /// A policy failed, and its `on_error` says to refuse with this status.
    pub fn policy(status: StatusCode, reason: impl Into<String>) -> Self {
        Self::new(Blame::Plugin, status, "policy_failed", "A policy of this route could not decide.", reason)
    }

    /// A policy answered while the request was on its way. Whoever reads that looks into the exchange.
    pub fn answered(reason: impl Into<String>) -> Self {
        Self::policy(StatusCode::SERVICE_UNAVAILABLE, reason)
    }

    /// It has been said once, and is not to be said for each request.
    pub fn told(self) -> Self {
        Fault { told: true, ..self }
    }

    /// Its line is one of these.
    pub fn among(self, lines: Arc<Thinned>) -> Self {
        Fault { lines: Some(lines), ..self }
    }

    pub fn upstream_unreachable(reason: impl Into<String>) -> Self {
        let detail = "The upstream could not be reached.";
        Self::new(Blame::Upstream, StatusCode::BAD_GATEWAY, "upstream_unreachable", detail, reason)
    }

    pub fn upstream_broken(reason: impl Into<String>) -> Self {
        let detail = "The upstream did not answer as it should.";
        Self::new(Blame::Upstream, StatusCode::BAD_GATEWAY, "upstream_broken", detail, reason)
    }

    pub fn upstream_slow(reason: impl Into<String>) -> Self {
        let detail = "The upstream did not answer in time.";
        Self::new(Blame::Upstream, StatusCode::GATEWAY_TIMEOUT, "upstream_slow", detail, reason)
    }

    /// As many requests are under way as may be.
    pub fn upstream_overloaded(reason: impl Into<String>) -> Self {
        let detail = "The upstream has too much to do.";
        Self::unavailable("upstream_overloaded", detail, reason, SOON)
    }

    /// The circuit breaker is open, for that long.
    pub fn circuit_open(left: Duration) -> Self {
        let detail = "The upstream is out of order.";
        let reason = format!("its circuit breaker is open for {left:.1?}");
        Self::unavailable("circuit_open", detail, reason, left)
    }

    fn unavailable(
        code: &'static str,
        detail: &'static str,
        reason: impl Into<String>,
        left: Duration,
    ) -> Self {
        let mut fault = Self::new(Blame::Upstream, StatusCode::SERVICE_UNAVAILABLE, code, detail, reason);
        fault.retry_after = Some(left.as_secs() + u64::from(left.subsec_nanos() > 0));
        fault
    }
}

/// When to come again after an overload, which nobody can know.
const SOON: Duration = Duration::from_secs(1);

thread_local! {
    /// The lines about what clients did wrong: they could fill the log otherwise.
    static REFUSED: Thinned = Thinned::default();
    /// Those about answers that policies broke off.
    static BROKEN_OFF: Arc<Thinned> = Arc::default();
}

/// Makes the fault the exchange's answer. The log is told when the exchange has ended.
pub fn respond(fault: Fault, exchange: &mut Exchange) {
    let whose = match fault.blame {
        Blame::Client => "refused",
        Blame::Plugin => "policy failed",
        Blame::Upstream => "upstream",
    };
    // To be sent elsewhere is no trouble.
    if !fault.status.is_redirection() {
        // What has been told is as little worth a line each time as what clients do wrong.
        let by_client = fault.blame == Blame::Client || fault.told;
        let why = format!("{whose}: {}", fault.reason);
        note(exchange, Refusal { by_client, status: fault.status, why, lines: fault.lines.clone() });
    }
    let (head, body) = problem(&fault, &exchange.id);
    exchange.answer_locally(head, body, fault.code);
}

/// The problem+json (RFC 9457) that the client reads.
fn problem(fault: &Fault, id: &RequestId) -> (Response<()>, Bytes) {
    let (mut head, body) = limen_policy::problem(fault.status, fault.detail, id);
    let headers = head.headers_mut();
    if fault.connection == Connection::Close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(allow) = fault.allow.as_deref().and_then(|allow| HeaderValue::try_from(allow).ok()) {
        headers.insert(header::ALLOW, allow);
    }
    if let Some(seconds) = fault.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(location) = &fault.location {
        headers.insert(header::LOCATION, location.clone());
    }
    (head, body)
}

/// A policy refused the exchange with the answer that it has given; by its status one sees whose fault it is.
pub fn denied(denied: Denied, exchange: &mut Exchange) {
    let (status, why) = (exchange.response.status(), format!("refused: {}", denied.why));
    exchange.reason = denied.code;
    note(exchange, Refusal { by_client: !status.is_server_error(), status, why, lines: None });
}

/// The answer broke off half-way: the client has its status already.
pub fn broke_off(error: &StreamError, exchange: &mut Exchange) {
    let is_policy = matches!(error, StreamError::Policy | StreamError::Source(_));
    let whose = if is_policy { "policy failed" } else { "upstream" };
    let (status, why) = (exchange.response.status(), format!("{whose}: {error}"));
    let lines = matches!(error, StreamError::Policy).then(|| BROKEN_OFF.with(Arc::clone));
    note(exchange, Refusal { by_client: false, status, why, lines });
}

/// Keeps what went wrong. If something had before, both are told.
fn note(exchange: &mut Exchange, refusal: Refusal) {
    match &mut exchange.refusal {
        Some(before) => {
            before.by_client &= refusal.by_client;
            if refusal.lines.is_none() {
                before.lines = None;
            }
            before.why = format!("{}; {}", before.why, refusal.why);
        }
        none => *none = Some(Box::new(refusal)),
    }
}

/// Writes the line of an exchange that has ended and was refused, if nobody else has.
pub fn tell(exchange: &Exchange) {
    let Some(refusal) = &exchange.refusal else { return };
    let Refusal { by_client, status, why, lines } = &**refusal;
    let (id, status) = (&exchange.id, status.as_u16());
    let (route, client) = (exchange.route.name.as_str(), exchange.client.address);
    let (method, path) = (exchange.request.method(), exchange.request.uri().path());
    let left_out = match (by_client, lines) {
        (true, _) => REFUSED.with(|refused| refused.begin(Instant::now())),
        (false, Some(lines)) => lines.begin(Instant::now()),
        (false, None) => Some(0),
    };
    match (by_client, left_out) {
        (false, Some(0)) => tracing::warn!(%id, status, route, %client, %method, path, "{why}"),
        (false, Some(left_out)) => {
            tracing::warn!(%id, status, route, %client, %method, path, left_out, "{why}");
        }
        (true, Some(0)) => tracing::info!(%id, status, route, %client, %method, path, "{why}"),
        (true, Some(left_out)) => {
            tracing::info!(%id, status, route, %client, %method, path, left_out, "{why}");
        }
        (_, None) => tracing::debug!(%id, status, route, %client, %method, path, "{why}"),
    }
}
