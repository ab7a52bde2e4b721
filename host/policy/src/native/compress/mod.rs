//! `compress`: compresses responses, as far as their clients can read that.
//!
//! ```toml
//! policies = ["compress"]
//! ```
//!
//! `Accept-Encoding` decides, with its weights (RFC 9110, section 12.5.3), and where it says that several
//! are as welcome the order of `encodings`. Responses are compressed piece by piece, and each piece goes on
//! at once: nothing waits for more to come. Not compressed is what is compressed already, is shorter than
//! `minimum`, is of another type, streams events or gRPC, is a part (206) or nothing (204, 304), or may not
//! be transformed (`Cache-Control: no-transform`). What depends on `Accept-Encoding` says so (`Vary`), a
//! strong `ETag` becomes a weak one, and `Accept-Ranges`, `Content-Length` and digests go.
//!
//! It stands before policies that read or change bodies, for responses come by backwards. One response under
//! way takes up to 460 KiB of memory (gzip), 2.3 MiB (br) or 1.1 MiB (zstd) at the default levels, br and zstd
//! less for one that says that it is short. What is compressed beside text of an attacker's choosing may tell
//! secrets by its length (BREACH): leave out responses that have both.

mod accept;
mod encoder;
mod gzip;
mod kinds;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::settings::{SettingsError, Size, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Failure, FailureKind, HeaderEdit, Phase, Phases, Policy, Seat, Side, Verdict};
use accept::Accepted;
use encoder::Encoder;
use kinds::Kinds;

pub(super) use encoder::Coding;

/// What a compressed response can't say any more.
const GONE: [HeaderName; 5] = [
    header::ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// `compress`: what, how and how much.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `encodings`: `"zstd"`, `"br"` and `"gzip"`, the best first. Default: all, in this order.
    #[serde(default = "encodings")]
    encodings: Vec<Coding>,
    /// `gzip`: its level, 1 (fast) to 9 (small). Default 5.
    #[serde(default = "gzip")]
    gzip: u8,
    /// `br`: its level, 0 (fast) to 11 (small; slow, and with several times the memory). Default 4.
    #[serde(default = "br")]
    br: u8,
    /// `zstd`: its level, 1 (fast) to 19 (small; slow, and with several times the memory). Default 3.
    #[serde(default = "zstd")]
    zstd: u8,
    /// `minimum`: a response that says that it is shorter stays as it is. Default `"1KiB"`.
    #[serde(default = "minimum")]
    minimum: Size,
    /// `types`: content types; `"text/*"` for all of one kind, `"*+json"` by their ending. Default: text,
    /// JSON, XML, JavaScript, WebAssembly, SVG and fonts that are not compressed already.
    #[serde(default = "types")]
    types: Vec<String>,
}

fn encodings() -> Vec<Coding> {
    vec![Coding::Zstd, Coding::Br, Coding::Gzip]
}

fn gzip() -> u8 {
    5
}

fn br() -> u8 {
    4
}

fn zstd() -> u8 {
    3
}

fn minimum() -> Size {
    Size(1024)
}

fn types() -> Vec<String> {
    kinds::USUAL.iter().map(|kind| (*kind).to_owned()).collect()
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    if settings.encodings.is_empty() {
        return Err(SettingsError::new("/encodings", "no encoding: nothing could be compressed"));
    }
    let bounds =
        [("/gzip", settings.gzip, 1..=9), ("/br", settings.br, 0..=11), ("/zstd", settings.zstd, 1..=19)];
    for (pointer, level, range) in bounds {
        if !range.contains(&level) {
            let message = format!("not a level from {} to {}: {level}", range.start(), range.end());
            return Err(SettingsError::new(pointer, message));
        }
    }
    let Settings { encodings, gzip, br, zstd, minimum: Size(minimum), types } = settings;
    let codings = encodings.into_iter().map(|coding| match coding {
        Coding::Gzip => (coding, gzip),
        Coding::Br => (coding, br),
        Coding::Zstd => (coding, zstd),
    });
    Ok(Box::new(Compress { codings: codings.collect(), minimum, types: Kinds::new(&types)? }))
}

struct Compress {
    /// With their levels, the best first.
    codings: Vec<(Coding, u8)>,
    minimum: u64,
    types: Kinds,
}

impl Policy for Compress {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Response).with(Phase::ResponseChunk)
    }

    fn recodes(&self) -> bool {
        true
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        Answer::Ready(match phase {
            Phase::Response => Ok(self.head(exchange, seat)),
            _ => piece(exchange, seat),
        })
    }
}

impl Compress {
    /// Decides what becomes of the body, and says it in the head.
    fn head(&self, exchange: &mut Exchange, seat: &mut Seat) -> Verdict {
        if !may_be_transformed(exchange) {
            return Verdict::Next;
        }
        let length = exchange.content_length(Side::Response);
        let accepted = Accepted::by(exchange.request.headers());
        let head = exchange.response.headers();
        let is_worth_it = length.is_none_or(|length| length >= self.minimum) && self.types.have(head);
        // Who can't read it as it is, is better served with anything else.
        if !is_worth_it && !accepted.refuses_identity() {
            return Verdict::Next;
        }
        vary(exchange);
        let Some(&(coding, level)) = accepted.best(&self.codings) else { return Verdict::Next };
        if length == Some(0) {
            return Verdict::Next;
        }
        for name in &GONE {
            if exchange.response.headers().contains_key(name) {
                edit(exchange, HeaderEdit::Remove(name.as_str()));
            }
        }
        edit(exchange, HeaderEdit::Set("content-encoding", coding.name()));
        weaken(exchange);
        // What has no body says the same of it, and needs no encoder.
        if exchange.request.method() != Method::HEAD {
            *seat = Some(Box::new(Encoder::new(coding, level, length)));
        }
        Verdict::WantChunks
    }
}

/// A piece of a body, compressed.
fn piece(exchange: &mut Exchange, seat: &mut Seat) -> Result<Verdict, Failure> {
    let encoder = seat.as_mut().and_then(|seat| seat.downcast_mut::<Encoder>());
    let (Some(encoder), Some(chunk)) = (encoder, exchange.chunk()) else { return Ok(Verdict::Next) };
    let data = encoder.encode(&chunk.data, chunk.last);
    let data = data.map_err(|error| Failure::new(FailureKind::Failed, format!("can't compress: {error}")))?;
    // Once its state is not needed, a slow client is not to hold it.
    if chunk.last {
        *seat = None;
    }
    match exchange.emit(data, u64::MAX) {
        Ok(()) => Ok(Verdict::Emitted),
        Err(error) => Err(Failure::new(FailureKind::Failed, format!("can't go on: {error:?}"))),
    }
}

/// Whether it is a whole response that nobody has encoded, and that may be changed on its way.
fn may_be_transformed(exchange: &Exchange) -> bool {
    let (status, head) = (exchange.response.status(), exchange.response.headers());
    let is_whole = !status.is_informational()
        && !matches!(
            status,
            StatusCode::NO_CONTENT
                | StatusCode::RESET_CONTENT
                | StatusCode::PARTIAL_CONTENT
                | StatusCode::NOT_MODIFIED
        )
        && !head.contains_key(header::CONTENT_RANGE);
    let is_plain = head
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    is_whole
        && is_plain
        && !kinds::streams(head)
        && may_change(head)
        && may_change(exchange.request.headers())
}

/// `Cache-Control: no-transform` (RFC 9111, sections 5.2.1.6 and 5.2.2.6).
fn may_change(head: &HeaderMap) -> bool {
    head.get_all(header::CACHE_CONTROL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .all(|directive| !directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// Says that the response depends on `Accept-Encoding`, if it does not say so yet.
fn vary(exchange: &mut Exchange) {
    let values = exchange.response.headers().get_all(header::VARY);
    let names = values.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let said = names
        .map(<[u8]>::trim_ascii)
        .any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding"));
    if !said {
        edit(exchange, HeaderEdit::Add("vary", "accept-encoding"));
    }
}

/// The bytes are others now, the content is the same (RFC 9110, section 8.8.1).
fn weaken(exchange: &mut Exchange) {
    let Some(tag) = exchange.response.headers().get(header::ETAG).map(HeaderValue::as_bytes) else { return };
    if tag.starts_with(b"W/") {
        return;
    }
    match std::str::from_utf8(tag).map(|tag| format!("W/{tag}")) {
        Ok(tag) if tag.ends_with('"') => edit(exchange, HeaderEdit::Set("etag", &tag)),
        _ => edit(exchange, HeaderEdit::Remove("etag")),
    }
}

/// What is said here may be said.
fn edit(exchange: &mut Exchange, edit: HeaderEdit<'_>) {
    let _ = exchange.edit_header(Side::Response, edit);
}

#[cfg(test)]
mod tests;
