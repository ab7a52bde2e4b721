//! `fallback` of an upstream: what clients get in place of nothing

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use http::{HeaderName, HeaderValue, StatusCode};
use toml::de::DeValue;

use crate::Place;
use crate::section::{Section, section};
use crate::source::io_phrase;
use crate::units::{MIB, show_size};
use crate::value::{Value, readable_file, string, whole};

use super::{Trouble, Upstream};

section! {
    /// `fallback = { upstream = "spare" }` or `fallback = { status = 503, file = "sorry.html" }`: what
    /// clients get when the upstream has no good answer, after all tries. Another upstream is asked
    /// if the request may be sent again, as `retries` has it: nothing of it was looked at, or its
    /// method is one of `methods` and its body in the `buffer`. Left out: an error of the gateway's own.
    pub struct Fallback(section) {
        /// `on`: what it stands in for: "connect", "refused-stream", "reset", "timeout", "open" (the
        /// circuit breaker), "overload" (a limit), a status like "503", "gateway-error" (502, 503, 504)
        /// or "5xx". Default: whenever there is no answer, `["connect", "refused-stream", "reset",
        /// "timeout", "open", "overload"]`.
        pub on: Vec<Trouble> = section.or("on", Trouble::read_of_exchanges, NO_ANSWER.to_vec()),

        /// `upstream`: the name of another upstream. Its own `fallback` is used as well.
        ///
        /// `status`: an answer of that status instead, 200 to 599; with `headers`, and with a `body` or
        /// the content of a `file`. Its type is `text/plain` where `headers` don't say otherwise.
        pub stand_in: StandIn = read_stand_in(section),
    }
}

impl Fallback {
    /// The file that its answer is read from.
    pub fn file(&self) -> Option<&PathBuf> {
        match &self.stand_in {
            StandIn::Answer { body, .. } => body.file.as_ref(),
            StandIn::Upstream { .. } => None,
        }
    }
}

/// What stands in.
#[derive(Debug, Clone)]
pub enum StandIn {
    /// Another upstream.
    Upstream { name: String, place: Place },
    /// A fixed answer.
    Answer { status: StatusCode, headers: Vec<(HeaderName, HeaderValue)>, body: StandInBody },
}

/// The body of a fixed answer.
#[derive(Debug, Clone)]
pub struct StandInBody {
    bytes: Vec<u8>,
    /// Where it was read from, if not from the configuration itself.
    file: Option<PathBuf>,
}

impl StandInBody {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A fixed answer is held in memory for as long as the configuration is.
const LONGEST: u64 = MIB;
const NO_ANSWER: [Trouble; 6] = [
    Trouble::Connect,
    Trouble::RefusedStream,
    Trouble::Reset,
    Trouble::Timeout,
    Trouble::Open,
    Trouble::Overload,
];

impl Upstream {
    /// The upstream that stands in for this one, and where that is said.
    pub(crate) fn stand_in(&self) -> Option<(&str, &Place)> {
        match &self.fallback.as_ref()?.stand_in {
            StandIn::Upstream { name, place } => Some((name, place)),
            StandIn::Answer { .. } => None,
        }
    }
}

fn read_stand_in(section: &Section<'_>) -> Option<StandIn> {
    let upstream = section.optional("upstream", |value| Some((string(value)?, value.place())));
    let status = section.optional("status", status);
    let headers = section.or("headers", headers, Vec::new());
    let text = section.optional("body", string);
    let file = section.optional("file", content);
    let (upstream, status, headers, text, file) = (upstream?, status?, headers?, text?, file?);
    let fixed = !headers.is_empty() || text.is_some() || file.is_some();
    match (upstream, status) {
        (Some((name, place)), None) if !fixed => Some(StandIn::Upstream { name, place }),
        (None, Some(_)) if text.is_some() && file.is_some() => {
            section.fail("both `body` and `file`", "one of them")
        }
        (None, Some(status)) => {
            let text = StandInBody { bytes: text.unwrap_or_default().into_bytes(), file: None };
            let body = file.unwrap_or(text);
            Some(StandIn::Answer { status, headers, body })
        }
        (Some(_), _) => section.fail("both an upstream and a fixed answer", "`upstream` alone, or `status`"),
        (None, None) => section.fail("a fallback without `upstream` or `status`", "one of them"),
    }
}

fn status(value: &Value<'_>) -> Option<StatusCode> {
    const EXPECTED: &str = "an integer from 200 to 599";
    let DeValue::Integer(integer) = value.inner else { return value.wrong_type(EXPECTED) };
    let status = whole(integer).and_then(|n| u16::try_from(n).ok()).filter(|n| (200..=599).contains(n));
    match status.and_then(|n| StatusCode::from_u16(n).ok()) {
        Some(status) => Some(status),
        None => value.fail(value.error(format!("out of range: {integer}")).expected(EXPECTED)),
    }
}

/// The content of a file.
fn content(value: &Value<'_>) -> Option<StandInBody> {
    let file = readable_file(value)?;
    let read = File::open(&file).and_then(|opened| {
        let mut bytes = Vec::new();
        opened.take(LONGEST + 1).read_to_end(&mut bytes).map(|_| bytes)
    });
    let expected = format!("a file of at most {}", show_size(LONGEST));
    match read {
        Ok(bytes) if bytes.len() as u64 <= LONGEST => Some(StandInBody { bytes, file: Some(file) }),
        Ok(_) => value.fail(value.error(format!("too long: {}", file.display())).expected(expected)),
        Err(error) => {
            let message = format!("cannot read {}: {}", file.display(), io_phrase(&error));
            value.fail(value.error(message).expected(expected))
        }
    }
}

fn headers(value: &Value<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let section = value.section()?;
    let read = section.entries().map(|(name, value)| {
        let text = string(&value)?;
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            return value.fail(value.error(format!("not a header name: `{name}`")).expected("a header name"));
        };
        if ["connection", "content-length", "transfer-encoding"].contains(&header.as_str()) {
            let error = value.error(format!("`{name}` is the gateway's to set"));
            return value.fail(error.expected("another header"));
        }
        match HeaderValue::from_str(&text) {
            Ok(text) => Some((header, text)),
            Err(_) => {
                let error = value.error(format!("not a header value: {text:?}"));
                value.fail(error.expected("text without control characters"))
            }
        }
    });
    read.collect::<Vec<_>>().into_iter().collect()
}
