//! The small vocabulary of the contract, as Rust: `types.wit`.

use std::fmt;

/// The methods of RFC 9110 (section 9) and PATCH (RFC 5789).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the method of that name")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other: `Request::method_text` tells which.
    Other,
}

/// As in a request line: `GET`. [`Other`](Method::Other) is `other`, in lower case, as no method is it.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Connect => "CONNECT",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Patch => "PATCH",
            Method::Other => "other",
        })
    }
}

/// The version of HTTP that the client speaks to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the version of that name")]
pub enum HttpVersion {
    Http10,
    Http11,
    H2,
    H3,
}

/// As HTTP writes it: `HTTP/1.1`, `HTTP/2`.
impl fmt::Display for HttpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HttpVersion::Http10 => "HTTP/1.0",
            HttpVersion::Http11 => "HTTP/1.1",
            HttpVersion::H2 => "HTTP/2",
            HttpVersion::H3 => "HTTP/3",
        })
    }
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is the level of that name")]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// Why the gateway did not take an edit. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EditError {
    /// Not a valid name or value by RFC 9110 (section 5), or a status outside 200 to 599.
    Invalid,
    /// The gateway owns it: framing and connection headers.
    Forbidden,
    /// One value over 64 KiB, over 256 edits in one hook, or a body over its limit.
    TooLarge,
    /// That head has already left, or was not begun.
    TooLate,
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EditError::Invalid => "not valid",
            EditError::Forbidden => "owned by the gateway, a policy cannot change it",
            EditError::TooLarge => "too large, or too many edits in one hook",
            EditError::TooLate => "too late, it has already left",
        })
    }
}

impl std::error::Error for EditError {}
