//! GraphQL over HTTP: where the document is, and its variables.

use http::header;
use serde_json::{Map, Value};

use super::measure::Refused;
use crate::Exchange;

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
        let written = exchange.request.headers().get(header::CONTENT_TYPE)?.to_str().ok()?;
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
        let raw = exchange.request.uri().query().unwrap_or_default();
        for name in ["query", "variables", "extensions"] {
            if form_urlencoded::parse(raw.as_bytes()).filter(|(key, _)| key == name).count() > 1 {
                return Err(Refused::new("A parameter is there more than once."));
            }
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
        let json: Value =
            serde_json::from_slice(bytes).map_err(|_| Refused::new("The request is not JSON."))?;
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

fn has_hash(extensions: &Value) -> bool {
    extensions.pointer("/persistedQuery/sha256Hash").is_some_and(Value::is_string)
}
