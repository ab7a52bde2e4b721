//! A response of the policy's own.

use std::borrow::Cow;

use serde::Serialize;

use crate::{Error, Result, host};

/// A response that the policy gives instead of the upstream's: `Ok(Reply::new(403).into())`.
///
/// Nothing is sent before the hook ends, so that one can be made and dropped at no cost to the
/// gateway. A header that is not valid, or that the gateway owns (`content-length`, `connection` and
/// the like), a status outside 200 to 599 and a body over 1 MiB make the hook fail.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a reply is sent only when the hook returns it: `Ok(reply.into())`"]
pub struct Reply {
    status: u16,
    headers: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    body: Cow<'static, [u8]>,
}

impl Reply {
    /// This status, no headers and no body.
    pub const fn new(status: u16) -> Self {
        Reply { status, headers: Vec::new(), body: Cow::Borrowed(&[]) }
    }

    /// Add a header. The name is shown to the client in lower case.
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// This body, as `text/plain`.
    pub fn text(self, text: impl Into<Cow<'static, str>>) -> Self {
        let body = match text.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        self.content("text/plain; charset=utf-8", body)
    }

    /// This value as the body, as `application/json`. Errors: the value cannot be written as JSON (a
    /// map with keys that are no strings, a failing `Serialize`).
    pub fn json(self, value: &impl Serialize) -> Result<Self> {
        Ok(self.content("application/json", serde_json::to_vec(value)?.into()))
    }

    /// A body by RFC 9457, `application/problem+json`: the status, its usual title and this detail
    /// for the client (left out if empty).
    pub fn problem(self, detail: impl Into<String>) -> Self {
        let problem = Problem { title: title(self.status), status: self.status, detail: detail.into() };
        let body = serde_json::to_vec(&problem).unwrap_or_default(); // two strings and a number: cannot fail
        self.content("application/problem+json", body.into())
    }

    /// These bytes as the body, with no header of their own.
    pub fn body(mut self, body: impl Into<Cow<'static, [u8]>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status it was made with.
    pub const fn status(&self) -> u16 {
        self.status
    }

    fn content(self, kind: &'static str, body: Cow<'static, [u8]>) -> Self {
        self.header("content-type", kind).body(body)
    }

    /// Hand it to the gateway: one crossing for the head, one for each header, one for the body.
    pub(crate) fn stage(&self) -> Result<()> {
        host::reply::start(self.status)
            .map_err(|why| Error::msg(format_args!("reply: status {}: {why}", self.status)))?;
        for (name, value) in &self.headers {
            host::reply::header(name, value)
                .map_err(|why| Error::msg(format_args!("reply: header `{name}`: {why}")))?;
        }
        if !self.body.is_empty() {
            host::reply::body(&self.body)
                .map_err(|why| Error::msg(format_args!("reply: body of {} bytes: {why}", self.body.len())))?;
        }
        Ok(())
    }
}

/// RFC 9457, section 3.1.
#[derive(Serialize)]
struct Problem {
    #[serde(skip_serializing_if = "str::is_empty")]
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

/// A status alone says itself as `application/problem+json`.
impl From<u16> for Reply {
    fn from(status: u16) -> Self {
        Reply::new(status).problem("")
    }
}

/// The reason phrases of RFC 9110 (section 15) and RFC 6585 that policies answer with.
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}
