//! What an expression can name, and where it comes from.

use std::borrow::Cow;
use std::collections::HashMap;

use cel::common::types::{CelInt, CelString};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use serde_json::Value as Json;

use super::kind::Type;
use super::lookup::{Lookup, Of};
use super::meter;
use super::pattern::Patterns;
use crate::Exchange;

/// When an expression is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Request,
    /// There is a response, too.
    Response,
}

/// One name, and what it is; what it means is in EXPRESSIONS.md.
pub struct Name {
    pub path: &'static str,
    pub kind: Type,
}

/// Everything there is. What nobody knows of a request is an empty text, list or map.
pub const NAMES: &[Name] = &[
    Name { path: "request.id", kind: Type::Text },
    Name { path: "request.method", kind: Type::Text },
    Name { path: "request.path", kind: Type::Text },
    Name { path: "request.query", kind: Type::Text },
    Name { path: "request.host", kind: Type::Text },
    Name { path: "request.scheme", kind: Type::Text },
    Name { path: "request.size", kind: Type::Int },
    Name { path: "request.headers", kind: Type::Texts },
    Name { path: "request.cookies", kind: Type::Texts },
    Name { path: "request.arguments", kind: Type::Texts },
    Name { path: "request.parameters", kind: Type::Texts },
    Name { path: "response.status", kind: Type::Int },
    Name { path: "response.headers", kind: Type::Texts },
    Name { path: "client.address", kind: Type::Text },
    Name { path: "client.subject", kind: Type::Text },
    Name { path: "client.fingerprint", kind: Type::Text },
    Name { path: "consumer.id", kind: Type::Text },
    Name { path: "consumer.scopes", kind: Type::List },
    Name { path: "consumer.attributes", kind: Type::Texts },
    Name { path: "claims", kind: Type::Dyn },
    Name { path: "route.name", kind: Type::Text },
    Name { path: "route.upstream", kind: Type::Text },
];

/// An exchange as an expression sees it. Nothing is copied but what has to be decoded; nothing is there that can not be
/// paid for.
pub(super) struct View<'e> {
    pub(super) exchange: &'e Exchange,
    pub(super) patterns: &'e Patterns,
}

impl VariableResolver for View<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        if let Some(pattern) = self.patterns.named(name) {
            return Some(CowVal::Borrowed(pattern));
        }
        let exchange = self.exchange;
        let (group, rest) = name.split_once('.').unwrap_or((name, ""));
        let certificate = || exchange.client.tls.as_ref()?.certificate.as_ref();
        let consumer = || exchange.consumer.as_deref();
        match (group, rest) {
            ("request", "id") => text(exchange.id.to_string()),
            ("request", "method") => text(exchange.request.method().as_str()),
            ("request", "path") => text(exchange.request.uri().path()),
            ("request", "query") => text(exchange.request.uri().query().unwrap_or_default()),
            ("request", "host") => text(exchange.authority()),
            ("request", "scheme") => text(if exchange.client.tls.is_some() { "https" } else { "http" }),
            ("request", "size") => {
                let length = exchange.content_length(crate::Side::Request);
                number(length.and_then(|length| i64::try_from(length).ok()).unwrap_or(-1))
            }
            ("request", "headers") => map(exchange, Of::RequestHeaders),
            ("request", "cookies") => map(exchange, Of::Cookies),
            ("request", "arguments") => map(exchange, Of::Arguments),
            ("request", "parameters") => map(exchange, Of::Parameters),
            ("response", "status") => number(exchange.response.status().as_u16().into()),
            ("response", "headers") => map(exchange, Of::ResponseHeaders),
            ("client", "address") => text(exchange.client.address.ip().to_canonical().to_string()),
            ("client", "subject") => text(certificate().map_or("", |it| &it.subject)),
            ("client", "fingerprint") => text(certificate().map_or("", |it| &it.fingerprint)),
            ("consumer", "id") => text(consumer().map_or("", |consumer| consumer.id())),
            ("consumer", "scopes") => {
                let scopes = consumer().map_or(&[][..], |consumer| &consumer.scopes);
                scopes.iter().try_for_each(|scope| meter::spend(meter::steps(scope.len()))).ok()?;
                let scopes: Vec<_> = scopes.iter().map(|scope| cel::Value::from(&**scope)).collect();
                value(cel::Value::from(scopes))
            }
            ("consumer", "attributes") => map(exchange, Of::Attributes),
            ("claims", path) => {
                let claims = consumer().and_then(|consumer| consumer.claims.as_deref());
                let Some(claims) = claims else {
                    return if path.is_empty() {
                        value(HashMap::<String, cel::Value>::new().into())
                    } else {
                        None
                    };
                };
                // `claims.realm.roles` in one go, so that only what is asked for is copied.
                let segments = path.split('.').filter(|segment| !segment.is_empty());
                let found = segments.into_iter().try_fold(claims, |claims, name| claims.get(name))?;
                json(found)
            }
            ("route", "name") => text(&*exchange.route.name),
            ("route", "upstream") => text(exchange.route.upstream.as_deref().unwrap_or_default()),
            _ => None,
        }
    }
}

fn text<'b>(text: impl Into<Cow<'b, str>>) -> Option<CowVal<'b, 'b>> {
    let text = text.into();
    meter::spend(meter::steps(text.len())).ok()?;
    Some(CowVal::owned(CelString::from(text)))
}

fn number<'b>(number: i64) -> Option<CowVal<'b, 'b>> {
    Some(CowVal::owned(CelInt::from(number)))
}

fn map(exchange: &Exchange, of: Of) -> Option<CowVal<'_, '_>> {
    Some(CowVal::owned(Lookup { exchange, of }))
}

fn value<'b>(value: cel::Value) -> Option<CowVal<'b, 'b>> {
    value.try_into().ok().map(CowVal::Owned)
}

fn json(found: &Json) -> Option<CowVal<'_, '_>> {
    match found {
        Json::String(found) => text(found.as_str()),
        // As JSON Web Tokens have their numbers, all of which CEL compares with one another.
        found => {
            meter::spend_json(found).ok()?;
            value(cel::to_value(found).ok()?)
        }
    }
}
