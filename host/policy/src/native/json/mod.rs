//! `json`: changes JSON on its way: takes fields away, renames, moves, sets and masks them.
//!
//! ```toml
//! [[route]]
//! upstream = "orders"
//! policies = ["careful"]
//!
//! [policy.careful]
//! use = "json"
//!
//! [policy.careful.with.response]
//! remove = ["/internal", "/items/*/cost"]
//! rename = { "/items/*/sku" = "number" }
//! mask   = ["/customer/card"]
//! ```
//!
//! Places are JSON Pointers (RFC 6901), in which `*` stands for every member of an object or item of an array.
//! First it removes, then renames, moves, sets and masks. Only what lies on the way to one of these places
//! is read at all: the rest stays as it was written, numbers with all their digits. Of several members of
//! one name each is meant.
//!
//! Asked are bodies of `application/json` and `+json`, which are kept in memory up to `limit`: a longer
//! request gets 413, a longer response is this policy's failure (`on_error`). What is not JSON, or nested too
//! deep, is refused (400; 502 if the upstream says it), and so are requests with a `Content-Encoding` (415),
//! unless there is a `decompress` before. A changed response has no `ETag` and no digest any more.

mod edit;
pub(super) mod node;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::denial::Denial;
use super::settings::{SettingsError, Size, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Failure, FailureKind, HeaderEdit, Phase, Phases, Policy, Seat, Side, Verdict};
use edit::Pointer;
use node::Node;

/// What a request may say of its body beside its framing and encoding.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// `json`: what to change, and what to do with what can't be read.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// `request`: edits of request bodies. Default: none.
    request: Edits,
    /// `response`: edits of response bodies. Default: none.
    response: Edits,
    /// `invalid`: `"refuse"` or `"pass"` what should be JSON and can't be read. Default `"refuse"`.
    invalid: Invalid,
    /// `limit`: the longest body that is read, up to 64 MiB. Default `"1MiB"`.
    limit: Size,
    /// `depth`: how many objects and arrays may lie in one another, 1 to 512. Default 64.
    depth: usize,
}

/// `request` and `response`: edits in this order.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Edits {
    /// `remove`: what to take away.
    remove: Vec<String>,
    /// `rename`: the new names of members, by where they are: `{ "/user/mail" = "email" }`; in place of a
    /// member that has that name.
    rename: BTreeMap<String, String>,
    /// `move`: where to put what, by where it is: `{ "/data/user" = "/user" }`, without `*`. Objects on the
    /// way are made, `-` is a new item at an array's end.
    #[serde(rename = "move")]
    moved: BTreeMap<String, String>,
    /// `set`: values, by where they are put: `{ "/source" = "api" }`. Objects on the way are made, `-` is a
    /// new item at an array's end.
    set: BTreeMap<String, Value>,
    /// `mask`: what becomes `"****"`, whatever it was but `null`.
    mask: Vec<String>,
    /// `keep`: how many of the last characters of what is masked stay legible, if it has twice as many.
    /// Default 0.
    keep: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Invalid {
    #[default]
    Refuse,
    Pass,
}

impl Default for Settings {
    fn default() -> Self {
        let (request, response, invalid) = Default::default();
        Settings { request, response, invalid, limit: Size(1 << 20), depth: 64 }
    }
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let Settings { request, response, invalid, limit: Size(limit), depth } = read(settings)?;
    bounds(limit, depth)?;
    let (request, response) = (Program::new("/request", &request)?, Program::new("/response", &response)?);
    if request.0.is_empty() && response.0.is_empty() {
        return Err(SettingsError::new("", "it changes nothing; give `request` or `response` an edit"));
    }
    Ok(Box::new(Json { request, response, invalid, limit, depth }))
}

/// Whether bodies of this length and depth can be read.
pub(super) fn bounds(limit: u64, depth: usize) -> Result<(), SettingsError> {
    if !(1..=64 << 20).contains(&limit) {
        return Err(SettingsError::new("/limit", "from 1 byte to 64 MiB"));
    }
    if !(1..=512).contains(&depth) {
        return Err(SettingsError::new("/depth", "from 1 to 512"));
    }
    Ok(())
}

struct Json {
    request: Program,
    response: Program,
    invalid: Invalid,
    limit: u64,
    depth: usize,
}

impl Policy for Json {
    fn phases(&self) -> Phases {
        let mut phases = Phases::default();
        if !self.request.0.is_empty() {
            phases = phases.with(Phase::Request).with(Phase::RequestBody);
        }
        if !self.response.0.is_empty() {
            phases = phases.with(Phase::Response).with(Phase::ResponseBody);
        }
        phases
    }

    fn body_limit(&self) -> u64 {
        self.limit
    }

    fn looks_back(&self) -> bool {
        false
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        match phase {
            Phase::Request => want_request(exchange, is_json, self.invalid),
            Phase::Response if is_json(exchange.response.headers()) => Answer::Ready(Ok(Verdict::WantBody)),
            Phase::RequestBody => self.edit(Side::Request, &self.request, exchange),
            Phase::ResponseBody => self.edit(Side::Response, &self.response, exchange),
            _ => Answer::Ready(Ok(Verdict::Next)),
        }
    }
}

impl Json {
    fn edit(&self, side: Side, program: &Program, exchange: &mut Exchange) -> Answer<'static> {
        let body = match side {
            Side::Request => exchange.request_body.clone(),
            Side::Response => exchange.response_body.clone(),
        };
        let body = body.unwrap_or_default();
        if body.trim_ascii().is_empty() {
            return Answer::Ready(Ok(Verdict::Next));
        }
        match Node::read(&body, self.depth) {
            Ok(mut root) => match program.run(&mut root) {
                true => replace(side, root_text(&root, body.len()).into(), None, exchange),
                false => Answer::Ready(Ok(Verdict::Next)),
            },
            Err(why) => unreadable(side, why, self.invalid, exchange),
        }
    }
}

fn root_text(root: &Node<'_>, length: usize) -> String {
    let mut text = String::with_capacity(length + 64);
    root.write(&mut text);
    text
}

/// Asks for the body of a request of this kind, if it can be read.
pub(super) fn want_request(
    exchange: &mut Exchange,
    is_it: fn(&HeaderMap) -> bool,
    invalid: Invalid,
) -> Answer<'static> {
    let head = exchange.request.headers();
    if !exchange.has_request_body || !is_it(head) {
        return Answer::Ready(Ok(Verdict::Next));
    }
    let is_plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if head.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        return Answer::Ready(Ok(Verdict::WantBody));
    }
    if invalid == Invalid::Pass {
        return Answer::Ready(Ok(Verdict::Next));
    }
    let detail = "The request body must not be encoded.";
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Denial::new(status, "unknown_encoding", detail, "the request body that a policy reads is encoded")
        .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
        .answer(exchange)
}

/// Puts another body in the place of the one that was read; perhaps of another type.
pub(super) fn replace(
    side: Side,
    body: Bytes,
    kind: Option<&'static str>,
    exchange: &mut Exchange,
) -> Answer<'static> {
    if side == Side::Request {
        for name in &DIGESTS {
            let _ = exchange.edit_header(side, HeaderEdit::Remove(name.as_str()));
        }
    }
    if let Some(kind) = kind {
        let _ = exchange.edit_header(side, HeaderEdit::Set("content-type", kind));
    }
    match exchange.replace_body(side, body, u64::MAX) {
        Ok(()) => Answer::Ready(Ok(Verdict::Next)),
        Err(error) => {
            let reason = format!("the body can't be replaced: {error:?}");
            Answer::Ready(Err(Failure::new(FailureKind::Failed, reason)))
        }
    }
}

/// A body that is not what it says.
pub(super) fn unreadable(
    side: Side,
    why: String,
    invalid: Invalid,
    exchange: &mut Exchange,
) -> Answer<'static> {
    if invalid == Invalid::Pass {
        return Answer::Ready(Ok(Verdict::Next));
    }
    let denial = match side {
        Side::Request => {
            let detail = "The request body can't be read.";
            Denial::new(StatusCode::BAD_REQUEST, "bad_body", detail, format!("the request body: {why}"))
        }
        Side::Response => {
            let detail = "The upstream's answer can't be read.";
            Denial::new(StatusCode::BAD_GATEWAY, "bad_body", detail, format!("the response body: {why}"))
        }
    };
    denial.answer(exchange)
}

/// Whether a head says that its body is JSON.
pub(super) fn is_json(head: &HeaderMap) -> bool {
    is_a(head, &["application/json", "text/json"], Some("+json"))
}

/// Whether a head says that its body is one of these, or of a kind that ends so.
pub(super) fn is_a(head: &HeaderMap, kinds: &[&str], ending: Option<&str>) -> bool {
    let kind = head.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kinds.contains(&&*kind) || ending.is_some_and(|ending| kind.contains('/') && kind.ends_with(ending))
}

/// Edits in their order.
struct Program(Vec<Op>);

enum Op {
    Remove(Pointer),
    Rename(Pointer, String),
    Move(Pointer, Pointer),
    Set(Pointer, String),
    Mask(Pointer, usize),
}

impl Program {
    fn new(of: &str, edits: &Edits) -> Result<Self, SettingsError> {
        let pointer = |key: &str, text: &str| {
            Pointer::parse(text).map_err(|why| SettingsError::new(&format!("{of}/{key}"), why))
        };
        let wrong = |key: &str, what: &str| Err(SettingsError::new(&format!("{of}/{key}"), what));
        let mut ops = Vec::new();
        for at in &edits.remove {
            ops.push(Op::Remove(pointer("remove", at)?));
        }
        for (at, name) in &edits.rename {
            let at = pointer("rename", at)?;
            if !at.ends_in_a_name() {
                return wrong("rename", "the last step is `*`: members would take one another's place");
            }
            ops.push(Op::Rename(at, name.clone()));
        }
        for (from, to) in &edits.moved {
            let (from, to) = (pointer("move", from)?, pointer("move", to)?);
            if !from.is_one() || !to.is_one() {
                return wrong("move", "a `*`: it is not known which to move where");
            }
            ops.push(Op::Move(from, to));
        }
        for (at, value) in &edits.set {
            ops.push(Op::Set(pointer("set", at)?, value.to_string()));
        }
        for at in &edits.mask {
            ops.push(Op::Mask(pointer("mask", at)?, edits.keep));
        }
        Ok(Program(ops))
    }

    /// Whether anything was changed.
    fn run<'a>(&'a self, root: &mut Node<'a>) -> bool {
        self.0.iter().fold(false, |is_changed, op| op.run(root) | is_changed)
    }
}

impl Op {
    fn run<'a>(&'a self, root: &mut Node<'a>) -> bool {
        match self {
            Op::Remove(at) => at.remove(root),
            Op::Rename(at, name) => at.rename(root, name),
            Op::Move(from, to) => match from.take(root) {
                Some(taken) => {
                    // Where it can't be put it is not lost.
                    let _ = to.set(root, &taken) || from.set(root, &taken);
                    true
                }
                None => false,
            },
            Op::Set(at, value) => at.set(root, &Node::Text(value.into())),
            Op::Mask(at, keep) => at.mask(root, *keep),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::plain;
    use serde_json::json;

    #[test]
    fn mistakes_are_found_at_load() {
        let mistake = |settings| plain(build, &settings).err().map(|error| error.pointer).unwrap();
        assert_eq!(mistake(json!({})), "");
        assert_eq!(mistake(json!({ "request": { "remove": ["a"] } })), "/request/remove");
        assert_eq!(mistake(json!({ "response": { "rename": { "/a/*": "b" } } })), "/response/rename");
        assert_eq!(mistake(json!({ "response": { "move": { "/a/*/b": "/c" } } })), "/response/move");
        assert_eq!(mistake(json!({ "response": { "remove": ["/a"] }, "depth": 0 })), "/depth");
        assert_eq!(mistake(json!({ "response": { "remove": ["/a"] }, "limit": "1GiB" })), "/limit");
        assert_eq!(mistake(json!({ "response": { "delete": ["/a"] } })), "/response/delete");
    }
}
