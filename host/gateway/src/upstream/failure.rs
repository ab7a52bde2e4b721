//! Why an endpoint gave no answer, told so that one can decide whether to ask again.

use std::error::Error;
use std::io;

use http::Request;

use crate::body::RequestBody;

/// An attempt that ended without the head of a response.
pub struct Failure {
    pub kind: FailureKind,
    /// For the log: which endpoint, and what happened.
    pub reason: String,
    /// The request as it was, where nothing of it is used up.
    pub request: Option<Box<Request<RequestBody>>>,
}

/// What the endpoint may have seen of the request, and whose fault it is that there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection: refused, unreachable, its name is not known, or closed as soon as it was made.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// No connection, for as many are open as may be.
    Full,
    /// A connection, but no TLS on it.
    Tls,
    /// The endpoint did not begin with the request: the connection was closed before it was sent, or
    /// the endpoint says so (RFC 9113, sections 6.8 and 8.7). Safe to send again, whatever it is.
    Unsent,
    /// A kept connection was closed under the request, before anything came back: most likely it had
    /// been idle for too long for the endpoint. Safe to send again if it is idempotent (RFC 9112,
    /// section 9.3.1).
    Stale,
    /// The connection or the stream was closed or reset before the head of a response.
    Reset,
    /// What came back is no response, or one that can be read in two ways.
    Malformed,
    /// The request asks to go on in another protocol, and nobody can say that to the endpoint.
    NoUpgrade,
    /// No head of a response in time.
    Timeout,
    /// The request's own body broke off: the client's fault.
    RequestBody,
    /// The request's own body did not go on: the client's fault.
    StalledBody,
    /// A policy that sees attempts has answered instead.
    Answered,
}

impl Failure {
    pub fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Failure { kind, reason: reason.into(), request: None }
    }
}

impl FailureKind {
    /// What metrics and traces call it (`error.type`).
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::Connect => "connect",
            FailureKind::ConnectTimeout => "connect_timeout",
            FailureKind::Full => "too_many_connections",
            FailureKind::Tls => "tls",
            FailureKind::Unsent => "unsent",
            FailureKind::Stale => "stale_connection",
            FailureKind::Reset => "reset",
            FailureKind::Malformed => "malformed",
            FailureKind::NoUpgrade => "no_upgrade",
            FailureKind::Timeout => "upstream_slow",
            FailureKind::RequestBody => "request_body",
            FailureKind::StalledBody => "body_too_slow",
            FailureKind::Answered => "policy",
        }
    }

    /// Whether the endpoint is to blame, and not the client or the moment.
    pub fn is_endpoints(self) -> bool {
        !matches!(
            self,
            FailureKind::RequestBody
                | FailureKind::StalledBody
                | FailureKind::NoUpgrade
                | FailureKind::Unsent
                | FailureKind::Full
                | FailureKind::Answered
        )
    }

    /// Whether no connection came about.
    pub fn is_connecting(self) -> bool {
        matches!(self, FailureKind::Connect | FailureKind::ConnectTimeout | FailureKind::Tls)
    }

    /// What an error of hyper's means for a request that was on its way. `is_used` tells that the
    /// connection had served before.
    pub fn of(error: &hyper::Error, is_used: bool) -> Self {
        if error.is_user() {
            return FailureKind::RequestBody;
        }
        if error.is_parse() {
            return FailureKind::Malformed;
        }
        if error.is_incomplete_message() && is_used {
            return FailureKind::Stale;
        }
        match error.source() {
            Some(cause) if is_used && is_closed(cause) => FailureKind::Stale,
            Some(cause) => Self::of_cause(cause),
            None => FailureKind::Reset,
        }
    }

    fn of_cause(cause: &(dyn Error + 'static)) -> Self {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return match error.reason() {
                // A stream is ended by GOAWAY if its number is above those that are served to their end.
                _ if error.is_remote() && (is_refused || error.is_go_away()) => FailureKind::Unsent,
                Some(h2::Reason::PROTOCOL_ERROR | h2::Reason::FRAME_SIZE_ERROR) if error.is_library() => {
                    FailureKind::Malformed
                }
                _ => FailureKind::Reset,
            };
        }
        match cause.downcast_ref::<io::Error>() {
            Some(error) if error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
                FailureKind::Tls
            }
            Some(error) if error.kind() == io::ErrorKind::InvalidData => FailureKind::Malformed,
            _ => FailureKind::Reset,
        }
    }
}

/// Whether it is the end of a connection, and of nothing on it.
fn is_closed(cause: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind as Kind;
    let ends = [Kind::BrokenPipe, Kind::ConnectionReset, Kind::ConnectionAborted, Kind::UnexpectedEof];
    cause.downcast_ref::<io::Error>().is_some_and(|error| ends.contains(&error.kind()))
}

/// An error with its causes.
pub fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
