//! GraphQL over HTTP: where the document is, and its variables.

use http::header;
use serde_json::{Map, Value};

use super::measure::Refused;
use crate::Exchange;
use crate::native::unambiguous::{self, Unreadable};

/// The parts of a request, in an address as in JSON.
const PARTS: [&str; 4] = ["query", "variables", "operationName", "extensions"];

/// One request of those that a message carries.
pub(super) struct Asked {
    pub(super) document: Option<String>,
    pub(super) variables: Map<String, Value>,
    /// Whether it names a document that the upstream knows, by its hash or its id.
    pub(super) is_persisted: bool,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    Json,
    Document,
    Multipart,
}

impl Carried {
    pub(super) fn by(exchange: &Exchange) -> Option<Self> {
        let mut all = exchange.request.headers().get_all(header::CONTENT_TYPE).iter();
        let written = all.next()?.to_str().ok()?;
        // What may be another text for others.
        if all.next().is_some() || !unambiguous::may_be_utf8(written) {
            return None;
        }
        let essence = written.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match &*essence {
            "application/json" | "application/graphql+json" => Some(Carried::Json),
            "application/graphql" => Some(Carried::Document),
            "multipart/form-data" => Some(Carried::Multipart),
            _ => None,
        }
    }
}

impl Asked {
    pub(super) fn of_query(exchange: &Exchange) -> Result<Self, Refused> {
        // A name that is there twice may be another one for the upstream.
        for part in PARTS {
            if parts_in_address(exchange).filter(|known| *known == Named::Part(part)).count() > 1 {
                return Err(Refused::new("A parameter is there more than once."));
            }
        }
        if parts_in_address(exchange).any(|known| known == Named::Almost) {
            return Err(Refused::new(ALMOST));
        }
        let parameter = |name: &str| exchange.query_parameter(name).filter(|text| !text.is_empty());
        let object = |name: &str| match parameter(name) {
            None => Ok(Map::new()),
            Some(text) => {
                serde_json::from_str(&text).map_err(|_| Refused::new("A parameter is no JSON object."))
            }
        };
        let named = parameter("documentId").or_else(|| parameter("id")).is_some();
        let is_persisted = named || has_hash(&Value::Object(object("extensions")?));
        let document = parameter("query").map(|text| text.into_owned());
        Ok(Asked { document, variables: object("variables")?, is_persisted })
    }

    /// A document alone, whose variables are in the query.
    pub(super) fn of_document(bytes: &[u8], exchange: &Exchange) -> Result<Self, Refused> {
        let text = std::str::from_utf8(bytes).map_err(|_| Refused::new("The query is not UTF-8."))?;
        let of_query = Self::of_query(exchange)?;
        if of_query.document.is_some() {
            return Err(Refused::new("There are two queries."));
        }
        Ok(Asked { document: Some(text.to_owned()), ..of_query })
    }

    /// One request, or a list of them.
    pub(super) fn of_json(bytes: &[u8], most: usize) -> Result<Vec<Self>, Refused> {
        let json = unambiguous::read(bytes).map_err(|why| match why {
            Unreadable::NotJson(_) => Refused::new("The request is not JSON."),
            Unreadable::Twice { .. } => Refused::new("An object has two members of one name."),
        })?;
        match json {
            Value::Array(all) if all.is_empty() => Err(Refused::new("There is no query.")),
            Value::Array(all) if all.len() > most => {
                Err(Refused::new(format!("There are more than {most} requests in one.")))
            }
            Value::Array(all) => all.into_iter().map(Self::of_object).collect(),
            one => Self::of_object(one).map(|one| vec![one]),
        }
    }

    fn of_object(json: Value) -> Result<Self, Refused> {
        let Value::Object(mut members) = json else {
            return Err(Refused::new("The request is no JSON object."));
        };
        if members.keys().any(|name| Named::of(name) == Named::Almost) {
            return Err(Refused::new(ALMOST));
        }
        let is_named = |key: &str| members.get(key).is_some_and(Value::is_string);
        let is_persisted =
            is_named("documentId") || is_named("id") || members.get("extensions").is_some_and(has_hash);
        let document = match members.remove("query") {
            Some(Value::String(document)) => Some(document),
            Some(Value::Null) | None => None,
            Some(_) => return Err(Refused::new("The query is no text.")),
        };
        let variables = match members.remove("variables") {
            Some(Value::Object(variables)) => variables,
            Some(Value::Null) | None => Map::new(),
            Some(_) => return Err(Refused::new("The variables are no JSON object.")),
        };
        Ok(Asked { document, variables, is_persisted })
    }
}

const ALMOST: &str = "A name differs from one of GraphQL's in its case alone.";

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Part(&'static str),
    /// A part for those who do not tell cases apart, like Go's `encoding/json`.
    Almost,
    Other,
}

impl Named {
    fn of(name: &str) -> Self {
        match PARTS.iter().find(|part| folded(part) == folded(name)) {
            Some(part) if *part == name => Named::Part(part),
            Some(_) => Named::Almost,
            None => Named::Other,
        }
    }
}

/// Without case, in all of Unicode: there are an `ſ` and a `K` that are letters of ASCII then.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

/// Whether there are parts of a request behind the path, as of one that is asked for by GET.
pub(super) fn is_in_address(exchange: &Exchange) -> bool {
    parts_in_address(exchange).next().is_some()
}

fn parts_in_address(exchange: &Exchange) -> impl Iterator<Item = Named> {
    let raw = exchange.request.uri().query().unwrap_or_default();
    let names = form_urlencoded::parse(raw.as_bytes()).map(|(name, _)| Named::of(&name));
    names.filter(|known| *known != Named::Other)
}

fn has_hash(extensions: &Value) -> bool {
    extensions.pointer("/persistedQuery/sha256Hash").is_some_and(Value::is_string)
}
