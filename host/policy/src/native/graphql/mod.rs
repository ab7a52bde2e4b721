//! `graphql`: lets queries pass that ask for no more than they may.
//!
//! ```toml
//! policies = [{ use = "graphql", with = { depth = 8, complexity = 2000, weights = { search = 20 } } }]
//! ```
//!
//! Requests are those of GraphQL over HTTP: GET with `query`, POST with JSON (one request or a batch), POST of
//! application/graphql; HEAD and OPTIONS are taken as GET, but for OPTIONS without a query. What servers may read
//! in two ways is refused: two queries in one request, a name that an object has twice, and a member that differs from
//! `query`, `variables`, `operationName` or `extensions` in its case alone. Their documents are parsed within bounds and measured, fragments included, before the
//! upstream is asked. A request that asks for too much gets 400 with an error in GraphQL's own form. The document
//! is not compared with a schema: what it means is for the upstream.
//!
//! A field costs its weight, and what is selected in it as often as its list arguments say:
//! `posts(first: 10) { title author { name } }` costs 1 + 10 × 3.

mod measure;
mod request;

use std::collections::HashMap;

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use self::measure::{Limits, Refused};
use self::request::{Asked, Carried};
use super::settings::{SettingsError, Size, read};
use super::{Built, Materials};
use crate::{Answer, Denied, Exchange, Phase, Phases, Policy, Reply, Seat, Side, Verdict};

/// `graphql`: how much a request may ask for.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// `depth`: how deep fields may be nested, 1 to 100. Default 10.
    depth: u64,
    /// `complexity`: the most that all fields of an operation may cost. Default 5000.
    complexity: u64,
    /// `weights`: what fields cost by their name, instead of 1. Default: none.
    weights: HashMap<String, u64>,
    /// `lists`: the arguments that say how long a list will be: a number, or a variable that is one. Default
    /// `["first", "last", "limit"]`.
    lists: Vec<String>,
    /// `aliases`: the most fields under another name. Default 15.
    aliases: u64,
    /// `directives`: the most directives. Default 50.
    directives: u64,
    /// `root_fields`: the most fields of the operation itself. Default 20.
    root_fields: u64,
    /// `tokens`: the most tokens of a document, spaces between them included. Default 5000.
    tokens: usize,
    /// `introspection`: whether `__schema` and `__type` may be asked for. Default `false`.
    introspection: bool,
    /// `batch`: the most requests in one, 1 to 100. Default 1.
    batch: usize,
    /// `persisted`: queries that are asked for by their hash or id: `"pass"`, or `"only"`: no others are taken.
    /// Default `"pass"`: what was measured is what was registered.
    persisted: Persisted,
    /// `multipart`: requests with files (multipart/form-data), whose documents are not looked at: `"refuse"` or
    /// `"pass"`. Default `"refuse"`.
    multipart: Multipart,
    /// `body`: the longest request; a longer one gets 413. Default `"256KiB"`.
    body: Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Persisted {
    Pass,
    Only,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Multipart {
    Refuse,
    Pass,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            depth: 10,
            complexity: 5000,
            weights: HashMap::new(),
            lists: ["first", "last", "limit"].map(str::to_owned).into(),
            aliases: 15,
            directives: 50,
            root_fields: 20,
            tokens: 5000,
            introspection: false,
            batch: 1,
            persisted: Persisted::Pass,
            multipart: Multipart::Refuse,
            body: Size(256 << 10),
        }
    }
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    let Settings {
        depth,
        complexity,
        weights,
        lists,
        aliases,
        directives,
        root_fields,
        tokens,
        introspection,
        ..
    } = settings;
    let Settings { batch, persisted, multipart, body, .. } = settings;
    if !(1..=100).contains(&depth) {
        return Err(SettingsError::new("/depth", "1 to 100"));
    }
    if !(1..=100).contains(&batch) {
        return Err(SettingsError::new("/batch", "1 to 100"));
    }
    if !(1..=100_000).contains(&tokens) {
        return Err(SettingsError::new("/tokens", "1 to 100000"));
    }
    let limits =
        Limits { depth, complexity, weights, lists, aliases, directives, root_fields, tokens, introspection };
    Ok(Box::new(Graphql { limits, batch, persisted, multipart, body }))
}

struct Graphql {
    limits: Limits,
    batch: usize,
    persisted: Persisted,
    multipart: Multipart,
    body: Size,
}

impl Policy for Graphql {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request).with(Phase::RequestBody)
    }

    fn body_limit(&self) -> u64 {
        self.body.0
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        let judged = match phase {
            Phase::Request => self.head(exchange),
            _ => self.body(exchange).map(|()| Verdict::Next),
        };
        match judged {
            Ok(verdict) => Answer::Ready(Ok(verdict)),
            Err(refused) => refuse(exchange, refused),
        }
    }
}

impl Graphql {
    fn head(&self, exchange: &Exchange) -> Result<Verdict, Refused> {
        match *exchange.request.method() {
            Method::POST => {}
            // Servers may look for a query where it does not belong.
            Method::GET | Method::HEAD | Method::OPTIONS if exchange.has_request_body => {
                return Err(Refused::new("A body is taken with POST only."));
            }
            // Preflights.
            Method::OPTIONS if !request::is_in_address(exchange) => return Ok(Verdict::Next),
            // Who answers GET often answers the others by the same code.
            Method::GET | Method::HEAD | Method::OPTIONS => {
                let asked = Asked::of_query(exchange)?;
                return self.judge(&[asked]).map(|()| Verdict::Next);
            }
            _ => {
                return Err(Refused::new("Only GET and POST are taken.").with(StatusCode::METHOD_NOT_ALLOWED));
            }
        }
        match Carried::by(exchange) {
            Some(Carried::Json) if request::is_in_address(exchange) => {
                Err(Refused::new("There are two queries."))
            }
            Some(Carried::Multipart) if self.multipart == Multipart::Pass => Ok(Verdict::Next),
            Some(Carried::Json | Carried::Document) => {
                match exchange.request.headers().get(header::CONTENT_ENCODING) {
                    Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
                        Err(Refused::new("An encoded request is not taken.")
                            .with(StatusCode::UNSUPPORTED_MEDIA_TYPE))
                    }
                    _ => Ok(Verdict::WantBody),
                }
            }
            _ => Err(Refused::new("The request is of a type that is not taken.")
                .with(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
        }
    }

    fn body(&self, exchange: &Exchange) -> Result<(), Refused> {
        let bytes = exchange.request_body.as_deref().unwrap_or_default();
        let asked = match Carried::by(exchange) {
            Some(Carried::Document) => vec![Asked::of_document(bytes, exchange)?],
            _ => Asked::of_json(bytes, self.batch)?,
        };
        self.judge(&asked)
    }

    fn judge(&self, asked: &[Asked]) -> Result<(), Refused> {
        for one in asked {
            match &one.document {
                None if one.is_persisted => {}
                None => return Err(Refused::new("There is no query.")),
                Some(_) if self.persisted == Persisted::Only => {
                    return Err(Refused::new(
                        "Only queries that are known here are taken, by their hash or id.",
                    ));
                }
                Some(document) => self.limits.judge(document, &one.variables)?,
            }
        }
        Ok(())
    }
}

/// Answers as a server of GraphQL does.
fn refuse(exchange: &mut Exchange, refused: Refused) -> Answer<'static> {
    let body = json!({ "errors": [{ "message": refused.message, "extensions": { "code": refused.code } }] });
    let mut reply = Reply::status(refused.status);
    let accept = exchange.headers(Side::Request).get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let modern = "application/graphql-response+json";
    let media = if accept.is_some_and(|it| it.contains(modern)) { modern } else { "application/json" };
    reply.head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    if refused.status == StatusCode::METHOD_NOT_ALLOWED {
        reply.head.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
    }
    reply.body = format!("{body}\n").into();
    reply.denied = Some(Box::new(Denied { code: "graphql", why: refused.message.into_owned() }));
    exchange.reply = Some(reply);
    Answer::Ready(Ok(Verdict::Reply))
}
