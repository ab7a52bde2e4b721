//! HTTP calls to upstreams of the gateway, through its own connections, time limits, retries and breakers.
//! Needs a grant that names them: `fetch = ["authz"]`.
//!
//! Calls wait, and hold up nobody but this exchange; the hook's wall limit holds, and the CPU limit is not
//! used up by waiting. When the client leaves, they are cancelled. From any hook and from `on_tick`, not
//! from `configure`. What a failing hook has sent is not undone. No policy sees a call on its way, also not
//! with `on_upstream`: sign it where it is made.
//!
//! ```no_run
//! # use limen::{fetch, prelude::*};
//! # use std::time::Duration;
//! # fn hook(request: &Request) -> Result<Flow> {
//! let answer = fetch::get("authz", "/check")
//!     .header("x-path", request.path())
//!     .timeout(Duration::from_millis(200))
//!     .send()?;
//! if answer.status() != 204 {
//!     return Ok(Reply::from(403).into());
//! }
//! # Ok(Flow::Next)
//! # }
//! ```

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{EditError, Error, Result, host};

/// A GET of this path (with a query, if need be) at this upstream.
pub fn get(upstream: &str, path: &str) -> Call {
    Call::new(upstream, "GET", path)
}

/// A POST to this path at this upstream.
pub fn post(upstream: &str, path: &str) -> Call {
    Call::new(upstream, "POST", path)
}

/// Send several at the same time, and wait for the heads of all their answers: in the same order.
pub fn send_all(calls: &[Call]) -> Vec<Result<Answer, FetchError>> {
    let prepared: Vec<_> = calls.iter().map(Call::prepare).collect();
    let ready: Vec<_> = prepared.iter().filter_map(|call| call.as_ref().ok()).collect();
    let mut answers = host::fetch::send_all(&ready).into_iter();
    let answers = prepared.iter().map(|call| match call {
        Ok(_) => answers.next().unwrap_or(Err(FetchError::Broken)).map(Answer),
        Err(error) => Err(*error),
    });
    answers.collect()
}

/// A call that is being put together. Nothing is sent before [`send`](Call::send).
///
/// A header that is not valid, or that the gateway owns (framing and connection headers, `via`,
/// `traceparent`, `tracestate`), and a body over `limits.body` make it an error to send.
#[derive(Clone, Debug)]
#[must_use = "a call is made by `send`"]
pub struct Call {
    upstream: String,
    method: String,
    path: String,
    headers: Vec<(Cow<'static, str>, String)>,
    body: Vec<u8>,
    timeout: Option<Duration>,
}

/// The answer to a call, whatever its status. Dropping it gives up what was not read.
#[derive(Debug)]
pub struct Answer(host::fetch::Incoming);

/// Why there is no answer. The gateway's log says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The upstream is not in the plugin's grant.
    Denied,
    /// The method, the path or a header is not valid.
    Invalid,
    /// `limits.fetches` calls of this plugin are under way already.
    TooMany,
    /// The body of the answer, or of the call, is longer than `limits.body`.
    TooLarge,
    /// No connection could be made.
    Unreachable,
    /// The upstream has as many requests as it may have, or its breaker is open.
    Overloaded,
    /// No answer, or no end of it, in time.
    TimedOut,
    /// The answer broke off, or is no HTTP.
    Broken,
}

impl Call {
    /// A call with this method.
    pub fn new(upstream: impl Into<String>, method: impl Into<String>, path: impl Into<String>) -> Self {
        Call {
            upstream: upstream.into(),
            method: method.into(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
        }
    }

    /// Add a header.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// These bytes as the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// This value as the body, as `application/json`. Errors: it can't be written as JSON.
    pub fn json(self, value: &impl Serialize) -> Result<Self> {
        Ok(self.header("content-type", "application/json").body(serde_json::to_vec(value)?))
    }

    /// The time until the end of the answer. Default: what the upstream has.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Send it, and wait for the head of the answer. It can be sent again.
    pub fn send(&self) -> Result<Answer, FetchError> {
        host::fetch::send(&self.prepare()?).map(Answer)
    }

    /// The same at the gateway: one crossing, one for each header, one for the body.
    fn prepare(&self) -> Result<host::fetch::Outgoing, FetchError> {
        let call = host::fetch::outgoing(&self.upstream, &self.method, &self.path);
        for (name, value) in &self.headers {
            host::fetch::header(&call, name, value).map_err(refused)?;
        }
        if !self.body.is_empty() {
            host::fetch::body(&call, &self.body).map_err(refused)?;
        }
        if let Some(timeout) = self.timeout {
            host::fetch::timeout_ms(&call, u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX));
        }
        Ok(call)
    }
}

impl Answer {
    /// Its status, like 200.
    pub fn status(&self) -> u16 {
        host::fetch::status(&self.0)
    }

    /// Whether the status is one of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status())
    }

    /// The first value of a header; none if it is absent or not UTF-8.
    pub fn header(&self, name: &str) -> Option<String> {
        host::fetch::answer_header(&self.0, name)
    }

    /// All values of a header, as bytes.
    pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        host::fetch::header_values(&self.0, name)
    }

    /// Wait for the next piece of the body, at most so many bytes; none at the end.
    pub fn read(&mut self, max: u32) -> Result<Option<Vec<u8>>, FetchError> {
        host::fetch::read(&self.0, max).map(|piece| Some(piece).filter(|piece| !piece.is_empty()))
    }

    /// Wait for what is left of the body, at most `limits.body` of the plugin.
    pub fn body(self) -> Result<Vec<u8>, FetchError> {
        host::fetch::answer_body(&self.0)
    }

    /// The body as text. Errors: it is not UTF-8.
    pub fn text(self) -> Result<String> {
        String::from_utf8(self.body()?).map_err(|_| Error::msg("the answer is not UTF-8"))
    }

    /// The body, read from JSON.
    pub fn json<T: DeserializeOwned>(self) -> Result<T> {
        Ok(serde_json::from_slice(&self.body()?)?)
    }
}

fn refused(error: EditError) -> FetchError {
    match error {
        EditError::TooLarge => FetchError::TooLarge,
        EditError::Invalid | EditError::Forbidden | EditError::TooLate => FetchError::Invalid,
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FetchError::Denied => "the plugin is not granted this upstream: grants = { fetch = [...] }",
            FetchError::Invalid => "the call is not valid: its method, its path or a header",
            FetchError::TooMany => "as many calls of this plugin are under way as may be (limits.fetches)",
            FetchError::TooLarge => "the body is longer than limits.body",
            FetchError::Unreachable => "no connection could be made",
            FetchError::Overloaded => "the upstream has too much to do, or its breaker is open",
            FetchError::TimedOut => "no answer in time",
            FetchError::Broken => "the answer broke off or is no HTTP",
        })
    }
}

impl std::error::Error for FetchError {}
