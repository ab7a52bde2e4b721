//! `content`: bodies by their media type.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::multipart::{self, Part};
use super::pairs::{self, Pairs};
use super::schema::{Schema, Schemas, Validators, Way};
use super::shape::Shape;
use super::style::Style;
use super::violation::{Place, Violations};
use crate::native::description::{Files, Spot, Wrong};
use crate::native::unambiguous::{self, Unreadable};

/// What a body may be.
pub(super) struct Content(Vec<Media>);

/// One kind of body.
pub(super) struct Media {
    /// In lower case, without parameters: "application/json", "text/*".
    range: String,
    schema: Option<Schema>,
    shape: Shape,
    encodings: HashMap<String, Encoding>,
}

/// How a part of a form is written.
struct Encoding {
    style: Style,
    explode: bool,
    /// What it has to be, if that is said: in lower case, several with commas.
    content_type: Option<String>,
}

/// How a body becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Json,
    Form,
    Multipart,
    Text,
}

/// What keeps a body from being read, and where in it.
struct Mistake {
    pointer: String,
    detail: String,
}

impl Content {
    /// Of a request or a response; none if it says nothing of bodies.
    pub(super) fn read(
        files: &Files,
        schemas: &mut Schemas<'_>,
        way: Way,
        owner: &Spot,
    ) -> Result<Option<Self>, Wrong> {
        let spot = owner.at("content");
        let Some(written) = files.get(&spot).and_then(Value::as_object) else { return Ok(None) };
        let mut all = Vec::new();
        for range in written.keys() {
            let (at, media) = files.follow(&spot.at(range))?;
            let essence = essence(range);
            let schema = at.at("schema");
            // What can't be read is not checked, and so not waited for.
            let is_read = files.get(&schema).is_some() && (kind(&essence).is_some() || essence.contains('*'));
            // JSON says itself what its values are.
            let is_text = is_read && kind(&essence) != Some(Kind::Json);
            let shape = if is_text { Shape::of(files, &schema) } else { Shape::default() };
            let schema = is_read.then(|| schemas.want(way, &schema));
            all.push(Media { range: essence, schema, shape, encodings: encodings(media) });
        }
        // The more exact one goes first (RFC 9110, section 12.5.1).
        all.sort_by_key(|media| media.range.matches('*').count());
        Ok(Some(Content(all)))
    }

    /// The kind that a body of this type is; JSON that is to be read is of none if it is not UTF-8.
    pub(super) fn of(&self, content_type: &str) -> Option<&Media> {
        let essence = essence(content_type);
        let found = self.0.iter().find(|media| is_in(&media.range, &essence));
        let is_legible = kind(&essence) != Some(Kind::Json) || unambiguous::may_be_utf8(content_type);
        found.filter(|media| media.schema.is_none() || is_legible)
    }

    /// Whether some body is read.
    pub(super) fn is_read(&self) -> bool {
        self.0.iter().any(|media| media.schema.is_some())
    }

    /// What it may be, for whoever sent something else.
    pub(super) fn listed(&self) -> String {
        self.0.iter().map(|media| &*media.range).collect::<Vec<_>>().join(", ")
    }
}

impl Media {
    /// Whether a body of this type has to be read to be checked.
    pub(super) fn reads(&self, content_type: &str) -> bool {
        self.schema.is_some() && kind(&essence(content_type)).is_some()
    }

    pub(super) fn check(
        &self,
        content_type: &str,
        body: &Bytes,
        validators: &Validators,
        violations: &mut Violations,
    ) {
        let Some(checker) = self.schema.and_then(|schema| validators.get(schema)) else { return };
        match self.value(content_type, body) {
            Ok(value) => violations.check(&Place::Body, &checker, value),
            Err(Mistake { pointer, detail }) => violations.add_at(&Place::Body, pointer, detail),
        }
    }

    /// What a body says, or what is wrong with how it says that.
    fn value(&self, content_type: &str, body: &Bytes) -> Result<Value, Mistake> {
        match kind(&essence(content_type)) {
            Some(Kind::Json) => unambiguous::read(body).map_err(|why| Mistake::of_json("it", "", why)),
            Some(Kind::Form) => Ok(self.form(text(body)?)?),
            Some(Kind::Multipart) => self.parts(multipart::parts(content_type, body)?),
            Some(Kind::Text) | None => Ok(self.shape.value(text(body)?.to_owned())),
        }
    }

    fn form(&self, text: &str) -> Result<Value, String> {
        let pairs = Pairs::of_query(text);
        if pairs.too_many {
            return Err(format!("it has more than {} fields", pairs::MOST));
        }
        pairs.object(&self.shape, |name| self.encodings.get(name).map(|it| (it.style, it.explode)))
    }

    fn parts(&self, parts: Vec<Part<'_>>) -> Result<Value, Mistake> {
        let mut object = Map::new();
        for part in parts {
            let shape = self.shape.property(&part.name).cloned().unwrap_or_default();
            let encoding = self.encodings.get(&part.name);
            if let Some(wanted) = encoding.and_then(|it| it.content_type.as_ref()) {
                let own = essence(part.content_type.unwrap_or("text/plain"));
                if !wanted.split(',').any(|range| is_in(&essence(range), &own)) {
                    let why = format!("the part `{}` is of the type {own}; expected {wanted}", part.name);
                    return Err(why.into());
                }
            }
            let said = part.content_type.is_some_and(is_json);
            if said && !part.content_type.is_some_and(unambiguous::may_be_utf8) {
                return Err(format!("the part `{}` is JSON and has to be UTF-8", part.name).into());
            }
            let is_json = said || (shape.is_object() && !part.is_file && part.content_type.is_none());
            let value = if is_json {
                unambiguous::read(part.content)
                    .map_err(|why| Mistake::of_json(&format!("the part `{}`", part.name), &part.name, why))?
            } else {
                let text = String::from_utf8_lossy(part.content).into_owned();
                match shape.is_array() {
                    true => shape.array(std::iter::once(text)),
                    false if part.is_file || shape.is_binary => Value::String(text),
                    false => shape.value(text),
                }
            };
            match (object.get_mut(&part.name), value) {
                (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
                (Some(_), _) => {
                    return Err(format!("the part `{}` is there more than once", part.name).into());
                }
                (None, value) => drop(object.insert(part.name, value)),
            }
        }
        Ok(Value::Object(object))
    }
}

impl Mistake {
    /// Of the JSON that a body, or the part of that name, has to be.
    fn of_json(what: &str, part: &str, why: Unreadable) -> Self {
        let detail = format!("{what} is {why}");
        let pointer = match why {
            Unreadable::NotJson(_) => String::new(),
            Unreadable::Twice { pointer } if part.is_empty() => pointer,
            Unreadable::Twice { pointer } => format!("/{}{pointer}", unambiguous::escaped(part)),
        };
        Mistake { pointer, detail }
    }
}

impl From<String> for Mistake {
    fn from(detail: String) -> Self {
        Mistake { pointer: String::new(), detail }
    }
}

fn encodings(media: &Value) -> HashMap<String, Encoding> {
    let written = media.get("encoding").and_then(Value::as_object).into_iter().flatten();
    let read = written.map(|(name, encoding)| {
        let text = |key: &str| encoding.get(key).and_then(Value::as_str);
        let style = text("style").and_then(Style::read).unwrap_or(Style::Form);
        let explode = encoding.get("explode").and_then(Value::as_bool).unwrap_or(style == Style::Form);
        let content_type = text("contentType").map(str::to_ascii_lowercase);
        (name.clone(), Encoding { style, explode, content_type })
    });
    read.collect()
}

/// Whether it is JSON, by its name or by its ending (RFC 6839, section 3.1).
pub(super) fn is_json(media: &str) -> bool {
    kind(&essence(media)) == Some(Kind::Json)
}

/// A media type without its parameters, in lower case.
fn essence(media: &str) -> String {
    media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn kind(essence: &str) -> Option<Kind> {
    match essence {
        "application/json" => Some(Kind::Json),
        "application/x-www-form-urlencoded" => Some(Kind::Form),
        "multipart/form-data" => Some(Kind::Multipart),
        "text/plain" => Some(Kind::Text),
        other if other.ends_with("+json") => Some(Kind::Json),
        _ => None,
    }
}

fn is_in(range: &str, essence: &str) -> bool {
    match range.strip_suffix('*') {
        _ if range == "*/*" => true,
        Some(begin) => essence.starts_with(begin),
        None => range == essence,
    }
}

fn text(body: &Bytes) -> Result<&str, String> {
    std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_endings() {
        assert!(
            is_in("*/*", "text/plain") && is_in("text/*", "text/plain") && is_in("text/plain", "text/plain")
        );
        assert!(!is_in("text/*", "texts/plain") && !is_in("text/plain", "text/html"));
        assert!(is_json("Application/JSON; charset=utf-8") && is_json("application/problem+json"));
        assert!(!is_json("application/jsonp") && !is_json("text/json-seq"));
    }
}
