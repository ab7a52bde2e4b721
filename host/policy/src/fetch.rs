//! Calls that a policy makes itself. The gateway, which has the connections, hands its side of it in with
//! [`RouteFacts::fetch`](crate::RouteFacts::fetch).

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};

use crate::edit::{header_name, header_value};
use crate::{Client, EditError, Exchange};

/// What carries on the trace of an exchange, and the way that it has come.
const CARRIED: [HeaderName; 3] =
    [header::VIA, HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];
/// The most headers of a call.
const MAX_HEADERS: usize = 256;
/// The longest path with its query, in bytes.
const MAX_PATH: usize = 64 << 10;

/// Whoever sends the calls of policies.
pub trait Fetch: fmt::Debug + Send + Sync {
    /// The call is on its way when this returns, so that several are at the same time; what it answers is
    /// the wait for the head of the answer. To drop that, or the body of the answer, is to cancel it.
    fn fetch(&self, call: Call) -> Later<'static, Result<Fetched, FetchError>>;
}

/// Something to wait for.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A request of a policy's own.
#[derive(Debug)]
pub struct Call {
    /// The name of the upstream.
    pub upstream: String,
    /// With a path as its target, and no host.
    pub request: Request<Bytes>,
    /// Whom the exchange is for: some upstreams choose endpoints by it.
    pub client: Client,
    /// The hook that makes it, by its name in the trace; none where nobody wants to know.
    pub hook: Option<u64>,
    /// Until the end of the answer's body; none: what the upstream has.
    pub timeout: Option<Duration>,
}

/// The answer to a call, as far as it has come.
pub struct Fetched {
    pub head: Response<()>,
    pub body: Box<dyn FetchedBody>,
}

/// What is left of an answer's body.
pub trait FetchedBody: Send {
    /// The next piece; none at the end. Nothing is read ahead of it but one piece.
    fn piece(&mut self) -> Later<'_, Option<Result<Bytes, FetchError>>>;
}

/// Why there is no answer, or no end of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// No connection could be made.
    Unreachable,
    /// The upstream has as many requests as it may have, or its breaker is open.
    Overloaded,
    TimedOut,
    /// It broke off, or is no HTTP.
    Broken,
}

/// The head of a call without the headers, if it can be one.
pub fn call_head(method: &str, path: &str) -> Option<Request<()>> {
    let method = Method::from_bytes(method.as_bytes()).ok().filter(|method| *method != Method::CONNECT)?;
    let is_path = path.starts_with('/') && path.len() <= MAX_PATH && !path.contains('#');
    let mut head = Request::new(());
    *head.method_mut() = method;
    *head.uri_mut() = path.parse::<Uri>().ok().filter(|uri| is_path && uri.authority().is_none())?;
    Some(head)
}

/// Adds a header to a call.
pub fn add_call_header(head: &mut Request<()>, name: &str, value: &str) -> Result<(), EditError> {
    let (name, value) = (header_name(name)?, header_value(value)?);
    let connection = [header::EXPECT, header::PROXY_AUTHENTICATE, header::PROXY_AUTHORIZATION];
    if connection.contains(&name) || CARRIED.contains(&name) {
        return Err(EditError::Forbidden);
    }
    if head.headers().len() >= MAX_HEADERS {
        return Err(EditError::TooLarge);
    }
    head.headers_mut().append(name, value);
    Ok(())
}

impl Call {
    /// A call on behalf of an exchange.
    pub fn new(
        exchange: &Exchange,
        upstream: &str,
        head: Request<()>,
        body: Bytes,
        timeout: Option<Duration>,
    ) -> Self {
        let mut request = head.map(|()| body);
        for name in CARRIED {
            for value in exchange.request.headers().get_all(&name) {
                request.headers_mut().append(name.clone(), HeaderValue::clone(value));
            }
        }
        let hook = exchange.hooks.as_ref().and_then(|hooks| hooks.called());
        Call { upstream: upstream.to_owned(), request, client: exchange.client.clone(), hook, timeout }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FetchError::Unreachable => "no connection could be made",
            FetchError::Overloaded => "it has as many requests as it may have",
            FetchError::TimedOut => "it did not answer in time",
            FetchError::Broken => "it did not answer as it should",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_call_names_a_method_and_a_path() {
        assert_eq!(call_head("POST", "/a%20b?c=d").unwrap().uri(), "/a%20b?c=d");
        let long = format!("/{}", "a".repeat(MAX_PATH));
        for (method, path) in [
            ("CONNECT", "/"),
            ("G T", "/"),
            ("", "/"),
            ("GET", ""),
            ("GET", "a"),
            ("GET", "*"),
            ("GET", "http://elsewhere/"),
            ("GET", "/a b"),
            ("GET", "/a#b"),
            ("GET", "/a\r\nx: y"),
            ("GET", &long),
        ] {
            assert!(call_head(method, path).is_none(), "{method} {path}");
        }
    }

    #[test]
    fn a_call_does_not_frame_itself() {
        let mut head = call_head("GET", "/").unwrap();
        assert_eq!(add_call_header(&mut head, "x-a", "1"), Ok(()));
        for name in ["Host", "content-length", "TE", "transfer-encoding", "expect", "via", "traceparent"] {
            assert_eq!(add_call_header(&mut head, name, "1"), Err(EditError::Forbidden), "{name}");
        }
        assert_eq!(add_call_header(&mut head, "x a", "1"), Err(EditError::Invalid));
        assert_eq!(add_call_header(&mut head, "x-a", "1\r\nx-b: 2"), Err(EditError::Invalid));
        for _ in 0..300 {
            let _ = add_call_header(&mut head, "x-a", "1");
        }
        assert_eq!(head.headers().len(), MAX_HEADERS);
    }

    #[test]
    fn the_trace_is_carried_on_and_nothing_else() {
        let request = Request::builder()
            .header("traceparent", "00-1-2-01")
            .header("via", "1.1 other")
            .header("via", "1.1 limen")
            .header("cookie", "a=1")
            .body(())
            .unwrap();
        let exchange = Exchange::new(Default::default(), Client::default(), Arc::default(), request);
        let call = Call::new(&exchange, "u", call_head("GET", "/").unwrap(), Bytes::new(), None);
        let headers = call.request.headers();
        assert_eq!(headers.get_all("via").iter().count(), 2);
        assert_eq!((headers.len(), &headers["traceparent"] == "00-1-2-01"), (3, true));
    }
}
