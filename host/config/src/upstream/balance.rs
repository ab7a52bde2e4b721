//! `balance` of an upstream

use http::HeaderName;
use toml::de::DeValue;

use crate::condition::{cookie_name, header_name};
use crate::section::Section;
use crate::suggest::did_you_mean;
use crate::value::{Value, string};

/// How an endpoint is chosen for a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    /// "round-robin" (the default): one after another, each as often as its weight says. Every
    /// worker takes its own turns.
    #[default]
    RoundRobin,
    /// "least-requests": of two taken at random (by weight), the one with fewer requests under way
    /// for its weight, counted over all workers.
    LeastRequests,
    /// "random": any, by weight.
    Random,
    /// `{ hash = ... }`: requests that are alike in this go to the same endpoint. When an endpoint
    /// comes or goes, only its own share moves. A request without it goes to a random one.
    Hash(HashBy),
}

/// What requests have to be alike in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashBy {
    /// `{ hash = { header = "x-user" } }`: the first value of this header.
    Header(HeaderName),
    /// `{ hash = { cookie = "user" } }`: the value of this cookie.
    Cookie(String),
    /// `{ hash = { query = "user" } }`: the value of this query parameter, as it is written.
    Query(String),
    /// `{ hash = "client" }`: the client's address, without its port.
    Client,
    /// `{ hash = "path" }`: the path, without the query.
    Path,
}

const EXPECTED: &str = "\"round-robin\", \"least-requests\", \"random\" or `{ hash = ... }`, by header, cookie, query, client or path";
const HASH: &str =
    "\"client\", \"path\", `{ header = \"...\" }`, `{ cookie = \"...\" }` or `{ query = \"...\" }`";

impl Balance {
    pub(super) fn read(value: &Value<'_>) -> Option<Balance> {
        if let Some(section) = table_of(value) {
            let hash = section.required("hash", HashBy::read);
            section.finish();
            return hash.map(Balance::Hash);
        }
        let written = value.text(EXPECTED)?;
        Some(match written.as_str() {
            "round-robin" => Balance::RoundRobin,
            "least-requests" => Balance::LeastRequests,
            "random" => Balance::Random,
            "hash" => {
                let error = value.error("a hash of what?").expected(EXPECTED);
                return value
                    .fail(error.hint("for one endpoint per client: balance = { hash = \"client\" }"));
            }
            _ => {
                let near = did_you_mean(&written, ["round-robin", "least-requests", "random"]);
                let error = value.error(format!("unknown value `{written}`")).expected(EXPECTED);
                return value.fail(error.maybe_hint(near));
            }
        })
    }
}

impl HashBy {
    fn read(value: &Value<'_>) -> Option<HashBy> {
        let Some(section) = table_of(value) else {
            return match value.text(HASH)?.as_str() {
                "client" => Some(HashBy::Client),
                "path" => Some(HashBy::Path),
                written => {
                    let error = value.error(format!("unknown value `{written}`")).expected(HASH);
                    value.fail(error.maybe_hint(did_you_mean(written, ["client", "path"])))
                }
            };
        };
        let named = [
            section.optional("header", header_name).map(|name| name.map(HashBy::Header)),
            section.optional("cookie", cookie_name).map(|name| name.map(HashBy::Cookie)),
            section.optional("query", string).map(|name| name.map(HashBy::Query)),
        ];
        let clean = section.finish();
        let named: Option<Vec<_>> = named.into_iter().collect();
        let mut named = named?.into_iter().flatten();
        match (named.next(), named.next()) {
            (Some(by), None) => Some(by),
            (None, _) if !clean => None,
            _ => section.fail("a hash has exactly one source", HASH),
        }
    }
}

/// The value as a section where it is a table.
pub(super) fn table_of<'a>(value: &Value<'a>) -> Option<Section<'a>> {
    match value.inner {
        DeValue::Table(table) => Some(Section::of(table, value)),
        _ => None,
    }
}
