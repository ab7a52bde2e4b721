//! Answers from the store (RFC 9111, section 4): whole, as a range, or that the client has it; and what clients are
//! told of the cache (RFC 9211).

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};

use super::entry::{Body, Entry};
use super::large::{FromDisk, Opened};
use super::range::{self, Asked};
use super::{SURROGATE_CONTROL, conditional};
use crate::Reply;

pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// What this cache is called there.
const NAME: &str = "limen";
/// What the log calls it.
pub const REASON: &str = "cache";

/// What was done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Answered from the store; for so many seconds it is fresh, or stale if they are less than none.
    Hit { ttl: i64, from_disk: bool },
    /// Asked of the upstream.
    Forwarded { why: Why, status: Option<StatusCode>, stored: bool, collapsed: bool },
    /// Asked of the upstream, which failed: what is kept had to do.
    Rescued { status: StatusCode },
    /// Neither: its client wanted nothing but what is kept.
    NotAsked,
}

/// Why the upstream was asked (RFC 9211, section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The request is not one for caches, or the answers to such requests are not kept.
    Bypass,
    Method,
    UriMiss,
    VaryMiss,
    Stale,
    /// It was kept, and the client wanted it newer.
    Request,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Status::Hit { ttl, from_disk } => {
                write!(f, "{NAME}; hit; ttl={ttl}{}", if *from_disk { "; detail=disk" } else { "" })
            }
            Status::Rescued { status } => {
                write!(f, "{NAME}; fwd=stale; fwd-status={}; detail=stale-if-error", status.as_u16())
            }
            Status::NotAsked => write!(f, "{NAME}; detail=only-if-cached"),
            Status::Forwarded { why, status, stored, collapsed } => {
                let why = match why {
                    Why::Bypass => "bypass",
                    Why::Method => "method",
                    Why::UriMiss => "uri-miss",
                    Why::VaryMiss => "vary-miss",
                    Why::Stale => "stale",
                    Why::Request => "request",
                };
                write!(f, "{NAME}; fwd={why}")?;
                if let Some(status) = status {
                    write!(f, "; fwd-status={}", status.as_u16())?;
                }
                f.write_str(if *stored { "; stored" } else { "" })?;
                f.write_str(if *collapsed { "; collapsed" } else { "" })
            }
        }
    }
}

/// Says it, behind what caches before this one have said.
pub fn tell(headers: &mut HeaderMap, status: Status) {
    if let Ok(value) = HeaderValue::try_from(status.to_string()) {
        headers.append(CACHE_STATUS, value);
    }
}

/// What is kept, as the answer to a request: where that is `GET` and its body is on the disk, open.
pub fn from(
    entry: &Entry,
    opened: Option<&Opened>,
    request: &Request<()>,
    status: Status,
    now: Instant,
) -> Reply {
    let is_get = request.method() == Method::GET;
    let request = request.headers();
    let mut head = Response::new(());
    *head.status_mut() = entry.status;
    *head.headers_mut() = entry.headers.clone();
    head.headers_mut().remove(SURROGATE_CONTROL);
    let length = entry.body.length();
    if entry.body.place().is_some() {
        head.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    head.headers_mut().insert(header::AGE, HeaderValue::from(entry.age(now).as_secs()));
    tell(head.headers_mut(), status);
    if conditional::has_it(request, entry.status, &entry.headers) {
        not_modified(&mut head);
        return Reply { head, reason: Some(REASON), ..Reply::default() };
    }
    let mut part = (0, length);
    if entry.status == StatusCode::OK
        && is_get
        && request.contains_key(header::RANGE)
        && conditional::may_be_ranged(request, &entry.headers)
    {
        match range::asked(request, length) {
            Asked::Whole => {}
            Asked::Part(first, last) => {
                part = (first, last + 1);
                *head.status_mut() = StatusCode::PARTIAL_CONTENT;
                of_range(head.headers_mut(), &format!("bytes {first}-{last}/{length}"), last + 1 - first);
            }
            Asked::Unsatisfiable => {
                part = (0, 0);
                *head.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                of_range(head.headers_mut(), &format!("bytes */{length}"), 0);
            }
        }
    }
    let reply = Reply { head, reason: Some(REASON), ..Reply::default() };
    match (&entry.body, opened) {
        (Body::Here(bytes), _) => Reply { body: slice(bytes, part), ..reply },
        (Body::OnDisk(_), Some(opened)) if is_get && part.0 < part.1 => {
            Reply { source: Some(Box::new(FromDisk::new(opened.clone(), part.0, part.1))), ..reply }
        }
        (Body::OnDisk(_), _) => reply,
    }
}

fn slice(bytes: &Bytes, (from, to): (u64, u64)) -> Bytes {
    let [from, to] = [from, to].map(|at| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len()));
    bytes.slice(from.min(to)..to)
}

/// Makes the head one of a 304: what speaks of the body goes with it (RFC 9110, section 15.4.5).
pub fn not_modified(head: &mut Response<()>) {
    *head.status_mut() = StatusCode::NOT_MODIFIED;
    for name in
        [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_TYPE, header::CONTENT_RANGE]
    {
        head.headers_mut().remove(name);
    }
}

fn of_range(headers: &mut HeaderMap, range: &str, length: u64) {
    if let Ok(range) = HeaderValue::try_from(range) {
        headers.insert(header::CONTENT_RANGE, range);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
}
