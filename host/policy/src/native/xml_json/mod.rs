//! `xml-json`: XML of one side as JSON for the other, and back.
//!
//! ```toml
//! [[route]]
//! upstream = "orders"
//! policies = [{ use = "xml-json", with = { request = "json-to-xml", response = "xml-to-json", arrays = ["item"] } }]
//! ```
//!
//! An element is a member of its parent, its name that of the element, with the prefix if it has one. What has
//! neither attributes nor elements in it is a string, or `null` if it is empty; else an object: attributes are
//! members that begin with `@`, text among them is `#text`. Elements of one name are an array, one alone only
//! if `arrays` has its name. White space between elements, comments and processing instructions go. So
//! `<order id="7"><item>a</item><item>b</item></order>` is
//! `{"order":{"@id":"7","item":["a","b"]}}`. Backwards it is the same; numbers, `true` and `false` become
//! text. A document that is not one object with one member gets the element `root` around it, items of
//! arrays that have no name are called `item`.
//!
//! Bodies are kept in memory up to `limit`: a longer request gets 413, a longer response is this policy's
//! failure (`on_error`). What can't be read, or has no form on the other side, gets 400 (502 if the upstream
//! says it): what is malformed or nested too deep, XML with a document type or entities of its own (none is
//! ever expanded or fetched), in other encodings than UTF-8, JSON with names that elements can't have.
//! Asked are `application/xml`, `text/xml` and `+xml` but SVG and XHTML, or `application/json` and
//! `+json`; but refusals stay problem+json.

mod to_json;
mod to_xml;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::json::node::Node;
use super::json::{Invalid, bounds, is_a, is_json, replace, unreadable, want_request};
use super::settings::{SettingsError, Size, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Phase, Phases, Policy, Seat, Side, Verdict};
use to_json::is_xml;
use to_xml::{Names, is_name};

/// How many times as long as `limit` the XML of a body may be.
const LONGER: usize = 8;

/// `xml-json`: which way.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `request`: `"json-to-xml"` or `"xml-to-json"`. Default: request bodies stay as they are.
    request: Option<Way>,
    /// `response`: the same of responses. Default: response bodies stay as they are.
    response: Option<Way>,
    /// `arrays`: elements that are arrays also where there is only one. Default: none.
    #[serde(default)]
    arrays: Vec<String>,
    /// `root`: the element around what is none. Default `"root"`.
    #[serde(default = "root")]
    root: String,
    /// `item`: what items are called that have no name. Default `"item"`.
    #[serde(default = "item")]
    item: String,
    /// `invalid`: `"refuse"` or `"pass"` what can't be read. Default `"refuse"`.
    #[serde(default)]
    invalid: Invalid,
    /// `limit`: the longest body that is read, up to 64 MiB; what becomes of JSON may be eight times as long.
    /// Default `"1MiB"`.
    #[serde(default = "limit")]
    limit: Size,
    /// `depth`: how many elements, or objects and arrays, may lie in one another, 1 to 512. Default 64.
    #[serde(default = "depth")]
    depth: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Way {
    JsonToXml,
    XmlToJson,
}

fn root() -> String {
    "root".to_owned()
}

fn item() -> String {
    "item".to_owned()
}

fn limit() -> Size {
    Size(1 << 20)
}

fn depth() -> usize {
    64
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    bounds(settings.limit.0, settings.depth)?;
    if settings.request.is_none() && settings.response.is_none() {
        return Err(SettingsError::new("", "it changes nothing; give it `request` or `response`"));
    }
    for (pointer, name) in [("/root", &settings.root), ("/item", &settings.item)] {
        if !is_name(name) {
            return Err(SettingsError::new(pointer, format!("not the name of an element: `{name}`")));
        }
    }
    Ok(Box::new(XmlJson(settings)))
}

struct XmlJson(Settings);

impl Policy for XmlJson {
    fn phases(&self) -> Phases {
        let mut phases = Phases::default();
        if self.0.request.is_some() {
            phases = phases.with(Phase::Request).with(Phase::RequestBody);
        }
        if self.0.response.is_some() {
            phases = phases.with(Phase::Response).with(Phase::ResponseBody);
        }
        phases
    }

    fn body_limit(&self) -> u64 {
        self.0.limit.0
    }

    fn looks_back(&self) -> bool {
        false
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        let Settings { request, response, invalid, .. } = &self.0;
        match (phase, request, response) {
            (Phase::Request, Some(Way::JsonToXml), _) => want_request(exchange, is_json, *invalid),
            (Phase::Request, Some(Way::XmlToJson), _) => want_request(exchange, is_xml, *invalid),
            (Phase::Response, _, Some(way)) => {
                let head = exchange.response.headers();
                let is_it = match way {
                    Way::JsonToXml => is_json(head) && !is_a(head, &["application/problem+json"], None),
                    Way::XmlToJson => is_xml(head),
                };
                Answer::Ready(Ok(if is_it { Verdict::WantBody } else { Verdict::Next }))
            }
            (Phase::RequestBody, Some(way), _) => self.convert(Side::Request, *way, exchange),
            (Phase::ResponseBody, _, Some(way)) => self.convert(Side::Response, *way, exchange),
            _ => Answer::Ready(Ok(Verdict::Next)),
        }
    }
}

impl XmlJson {
    fn convert(&self, side: Side, way: Way, exchange: &mut Exchange) -> Answer<'static> {
        let body = match side {
            Side::Request => exchange.request_body.clone(),
            Side::Response => exchange.response_body.clone(),
        };
        let body = body.unwrap_or_default();
        if body.trim_ascii().is_empty() {
            return Answer::Ready(Ok(Verdict::Next));
        }
        let (converted, kind) = match way {
            Way::JsonToXml => (self.to_xml(&body), "application/xml"),
            Way::XmlToJson => (to_json::read(&body, self.0.depth, &self.0.arrays), "application/json"),
        };
        match converted {
            Ok(text) => replace(side, text.into(), Some(kind), exchange),
            Err(why) => unreadable(side, why, self.0.invalid, exchange),
        }
    }

    fn to_xml(&self, body: &Bytes) -> Result<String, String> {
        let most = usize::try_from(self.0.limit.0).unwrap_or(usize::MAX).saturating_mul(LONGER);
        let names = Names { root: &self.0.root, item: &self.0.item, most };
        to_xml::write(Node::read(body, self.0.depth)?, &names)
    }
}

/// A `Char` (XML 1.0, section 2.2).
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

#[cfg(test)]
mod tests;
