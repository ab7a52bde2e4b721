//! `size`: bounds of what a client may send.
//!
//! ```toml
//! policies = [{ use = "size", with = { body = "10MiB", head = "16KiB" } }]
//! ```
//!
//! A body that says that it is longer is refused before anything of it goes on. One that does not say how
//! long it is, is counted as it passes by and cut off where it is too long: what went on until then the
//! upstream has seen, without its end. Nothing is kept in memory. The listener's and the route's own limits
//! hold besides. What is too large gets 413 (body), 431 (head) or 414 (target).

use http::StatusCode;
use http::header::{self, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::denial::Denial;
use super::settings::{SettingsError, Size, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Failure, FailureKind, Phase, Phases, Policy, Seat, Side, Verdict};

/// `size`: the most that a request may have.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// `body`: bytes of the body, as it comes (`"10MiB"`). Default: as many as the route takes.
    body: Option<Size>,
    /// `head`: bytes of the target and of all headers, names and values. Default: as many as the listener
    /// takes.
    head: Option<Size>,
    /// `target`: bytes of path and query. Default: as many as the listener takes.
    target: Option<Size>,
    /// `length_required`: whether a body has to say how long it is (`Content-Length`); one that does not
    /// gets 411. Default `false`.
    length_required: bool,
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let Settings { body, head, target, length_required } = read(settings)?;
    if body.is_none() && head.is_none() && target.is_none() && !length_required {
        return Err(SettingsError::new("", "it bounds nothing; give it `body`, `head` or `target`"));
    }
    let bytes = |size: Option<Size>| size.map(|Size(bytes)| bytes);
    Ok(Box::new(Bounds { body: bytes(body), head: bytes(head), target: bytes(target), length_required }))
}

struct Bounds {
    body: Option<u64>,
    head: Option<u64>,
    target: Option<u64>,
    length_required: bool,
}

/// How many bytes of a body have passed by.
#[derive(Default)]
struct Passed(u64);

impl Policy for Bounds {
    fn phases(&self) -> Phases {
        let phases = Phases::default().with(Phase::Request);
        if self.body.is_some() || self.length_required { phases.with(Phase::RequestChunk) } else { phases }
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        match phase {
            Phase::Request => self.head(exchange),
            _ => self.piece(exchange, seat),
        }
    }
}

impl Bounds {
    fn head(&self, exchange: &mut Exchange) -> Answer<'static> {
        let target = exchange.request.uri().path_and_query().map_or(0, |target| target.as_str().len()) as u64;
        if let Some(most) = self.target.filter(|most| target > *most) {
            let why = format!("the target has {target} bytes, more than {most}");
            let status = StatusCode::URI_TOO_LONG;
            return Denial::new(status, "target_too_long", "The target is too long.", why).answer(exchange);
        }
        let headers = exchange.request.headers().iter();
        let head =
            headers.fold(target, |sum, (name, value)| sum + (name.as_str().len() + value.len()) as u64);
        if let Some(most) = self.head.filter(|most| head > *most) {
            let why = format!("the head has {head} bytes, more than {most}");
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Denial::new(status, "head_too_large", "The headers are too large.", why).answer(exchange);
        }
        match exchange.content_length(Side::Request) {
            Some(length) if self.body.is_some_and(|most| length > most) => {
                too_large(format!("it says that it has {length} bytes"), self.body).answer(exchange)
            }
            None if exchange.has_request_body && self.phases().has(Phase::RequestChunk) => {
                Answer::Ready(Ok(Verdict::WantChunks))
            }
            _ => Answer::Ready(Ok(Verdict::Next)),
        }
    }

    /// A piece of a body that does not say how long it is.
    fn piece(&self, exchange: &mut Exchange, seat: &mut Seat) -> Answer<'static> {
        let length = exchange.chunk().map_or(0, |chunk| chunk.data.len() as u64);
        let passed = seat.get_or_insert_with(|| Box::<Passed>::default()).downcast_mut::<Passed>();
        let sum = passed.map_or(length, |passed| {
            passed.0 = passed.0.saturating_add(length);
            passed.0
        });
        let refused = if self.length_required && length > 0 {
            let why = "the request body does not say how long it is";
            let detail = "The request body has to say how long it is.";
            Denial::new(StatusCode::LENGTH_REQUIRED, "length_required", detail, why)
        } else if self.body.is_some_and(|most| sum > most) {
            too_large(format!("{sum} bytes have come"), self.body)
        } else {
            return Answer::Ready(Ok(Verdict::Next));
        };
        if exchange.is_sent {
            // Whoever answers does not wait for the end of the request: it is broken off.
            let failure = Failure::new(FailureKind::Body, "the request body is too large");
            return Answer::Ready(Err(failure));
        }
        refused.header(header::CONNECTION, HeaderValue::from_static("close")).answer(exchange)
    }
}

fn too_large(what: String, most: Option<u64>) -> Denial {
    let why = format!("the request body is too large: {what}, more than {}", most.unwrap_or_default());
    Denial::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The request body is too large.", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::plain;
    use serde_json::json;

    fn status(settings: Value, target: &str, headers: &[(&'static str, &str)]) -> Option<u16> {
        let policy = plain(build, &settings).unwrap();
        let mut exchange = Box::<Exchange>::default();
        *exchange.request.uri_mut() = target.parse().unwrap();
        for (name, value) in headers {
            exchange.request.headers_mut().append(*name, value.parse().unwrap());
        }
        exchange.enter(Phase::Request, 0);
        let _ = policy.call(Phase::Request, &mut exchange, &mut None);
        exchange.reply.map(|reply| reply.head.status().as_u16())
    }

    #[test]
    fn a_bound_is_the_most_that_may_be() {
        let bounds = || json!({ "body": "10B", "head": "20B", "target": "4B" });
        assert_eq!(status(bounds(), "/abc", &[("content-length", "10")]), None);
        assert_eq!(status(bounds(), "/abc", &[("content-length", "11")]), Some(413));
        assert_eq!(status(bounds(), "/?ab", &[("a", "123456789012345")]), None);
        assert_eq!(status(bounds(), "/?ab", &[("a", "1234567890123456")]), Some(431));
        assert_eq!(status(bounds(), "/?abc", &[]), Some(414));
    }

    #[test]
    fn mistakes_are_found_at_load() {
        let mistake = |settings| plain(build, &settings).err().map(|error| (error.pointer, error.message));
        assert!(mistake(json!({})).unwrap().1.contains("it bounds nothing"));
        let (pointer, message) = mistake(json!({ "body": "10M" })).unwrap();
        assert_eq!(pointer, "/body");
        assert!(message.contains("did you mean"), "{message}");
    }
}
