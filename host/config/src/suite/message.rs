//! Heads and bodies as they have to be.

use http::HeaderName;
use serde_json::Value as Json;
use toml::de::DeValue;

use super::content::header_name;
use super::text::TextMatch;
use super::{At, at, entries};
use crate::section::Section;
use crate::settings::json;
use crate::value::{Value, list, string};

/// **Messages**, requests and responses, are as they have to be by these keys:
#[derive(Debug, Clone)]
pub struct Message {
    /// `headers`: by name: a value; true: it is there; false: it is not; an array: all values of that name; or a table
    /// (see Texts).
    pub headers: Vec<(HeaderName, At<HeaderMatch>)>,

    /// `body`: the body (see Texts); `{ hex = "00 ff" }` for bytes.
    pub body: Option<At<TextMatch>>,

    /// `json`: the body as JSON, the same value.
    pub json: Option<At<Json>>,

    /// `has`: what the body has to contain as JSON: objects may have more members than here.
    pub has: Option<At<Json>>,

    /// `trailers`: what follows the body, as `headers`.
    pub trailers: Vec<(HeaderName, At<HeaderMatch>)>,
}

/// A header as it has to be.
#[derive(Debug, Clone)]
pub enum HeaderMatch {
    Absent,
    Present,
    /// All of that name, in their order.
    Values(Vec<String>),
    Text(TextMatch),
}

impl Message {
    /// The keys of a message, which stand among others.
    pub(super) fn of(section: &Section<'_>) -> Option<Message> {
        let headers = fields(section, "headers");
        let body = section.optional("body", at(TextMatch::read_any));
        let whole = section.optional("json", at(json));
        let has = section.optional("has", at(json));
        let trailers = fields(section, "trailers");
        Some(Message { headers: headers?, body: body?, json: whole?, has: has?, trailers: trailers? })
    }
}

fn fields(section: &Section<'_>, key: &'static str) -> Option<Vec<(HeaderName, At<HeaderMatch>)>> {
    entries(section, key, |name, value| Some((header_name(name, value)?, at(header)(value)?)))
}

fn header(value: &Value<'_>) -> Option<HeaderMatch> {
    match value.inner {
        DeValue::Boolean(true) => Some(HeaderMatch::Present),
        DeValue::Boolean(false) => Some(HeaderMatch::Absent),
        DeValue::Array(_) => list(string)(value).map(HeaderMatch::Values),
        _ => TextMatch::read_any(value).map(HeaderMatch::Text),
    }
}
