//! The answers of an operation, made of its examples and schemas.

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use serde_json::Value;

use super::sample::sample;
use crate::native::description::{Files, Spot, Wrong};
use crate::{HeaderEdit, Side};

/// All answers of one operation, the usual one first.
pub(super) struct Answers(Vec<(Option<StatusCode>, Made)>);

/// One answer.
pub(super) struct Made {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) bodies: Vec<Body>,
}

/// A body of one media type.
pub(super) struct Body {
    /// Without parameters.
    pub(super) media: String,
    pub(super) content_type: HeaderValue,
    /// At least one.
    pub(super) examples: Vec<Example>,
}

pub(super) struct Example {
    pub(super) name: String,
    pub(super) content: Bytes,
}

impl Answers {
    pub(super) fn read(files: &Files, operation: &Spot) -> Result<Self, Wrong> {
        let spot = operation.at("responses");
        let mut all = Vec::new();
        let keys = files.get(&spot).and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key);
        for key in keys.filter(|key| !key.starts_with("x-")) {
            let (at, _) = files.follow(&spot.at(key))?;
            let exact = key.parse().ok();
            // "2XX" is answered with 200, and "default" as well.
            let status =
                exact.or_else(|| format!("{}00", key.get(..1)?).parse().ok()).unwrap_or(StatusCode::OK);
            let (headers, bodies) = (headers(files, &at)?, bodies(files, &at)?);
            all.push((exact, Made { status, headers, bodies }));
        }
        all.sort_by_key(|(exact, made)| (!made.status.is_success(), exact.is_none(), made.status));
        if all.is_empty() {
            let nothing = Made { status: StatusCode::OK, headers: Vec::new(), bodies: Vec::new() };
            all.push((Some(StatusCode::OK), nothing));
        }
        Ok(Answers(all))
    }

    /// The answer of a status, or the usual one.
    pub(super) fn find(&self, code: Option<StatusCode>) -> Option<&Made> {
        let Some(code) = code else { return self.0.first().map(|(_, made)| made) };
        let found = self.0.iter().find(|(_, made)| made.status == code);
        found.map(|(_, made)| made)
    }
}

fn headers(files: &Files, answer: &Spot) -> Result<Vec<(HeaderName, HeaderValue)>, Wrong> {
    let spot = answer.at("headers");
    let mut made = Vec::new();
    for name in files.get(&spot).and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name) {
        let (at, header) = files.follow(&spot.at(name))?;
        let value = match example(files, &at)? {
            Some(value) => value,
            None if header.get("schema").is_some() => sample(files, &at.at("schema")),
            None => continue,
        };
        let text = match value {
            Value::String(text) => text,
            Value::Array(_) | Value::Object(_) => continue,
            other => other.to_string(),
        };
        // What belongs to the gateway it says itself.
        let may =
            crate::native::settings::check_edit("", Side::Response, HeaderEdit::Set(name, &text)).is_ok();
        if let (true, Ok(name), Ok(value)) = (may, name.parse(), text.parse()) {
            made.push((name, value));
        }
    }
    Ok(made)
}

fn bodies(files: &Files, answer: &Spot) -> Result<Vec<Body>, Wrong> {
    let spot = answer.at("content");
    let mut bodies = Vec::new();
    for range in files.get(&spot).and_then(Value::as_object).into_iter().flatten().map(|(range, _)| range) {
        let (at, _) = files.follow(&spot.at(range))?;
        let concrete = range.replace("*/*", "application/json").replace("text/*", "text/plain");
        let Ok(content_type) = HeaderValue::try_from(&concrete) else {
            return Err(spot.at(range).is_wrong("not a media type"));
        };
        let media = concrete.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut examples = Vec::new();
        if let Some(value) = files.get(&at.at("example")) {
            examples.push(Example { name: String::new(), content: written(&media, value) });
        }
        let named = at.at("examples");
        for name in files.get(&named).and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name) {
            let (_, example) = files.follow(&named.at(name))?;
            if let Some(value) = example.get("value") {
                examples.push(Example { name: name.clone(), content: written(&media, value) });
            }
        }
        if examples.is_empty() {
            let value = sample(files, &at.at("schema"));
            examples.push(Example { name: String::new(), content: written(&media, &value) });
        }
        bodies.push(Body { media, content_type, examples });
    }
    // What most clients want, if they say nothing.
    bodies.sort_by_key(|body| !is_json(&body.media));
    Ok(bodies)
}

/// `example`, or the first of `examples`.
fn example(files: &Files, owner: &Spot) -> Result<Option<Value>, Wrong> {
    if let Some(value) = files.get(&owner.at("example")) {
        return Ok(Some(value.clone()));
    }
    let named = owner.at("examples");
    let first = files.get(&named).and_then(Value::as_object).and_then(|all| all.keys().next());
    let Some(name) = first else { return Ok(None) };
    let (_, example) = files.follow(&named.at(name))?;
    Ok(example.get("value").cloned())
}

fn written(media: &str, value: &Value) -> Bytes {
    match value {
        Value::String(text) if !is_json(media) => text.clone().into(),
        value => value.to_string().into(),
    }
}

fn is_json(media: &str) -> bool {
    media == "application/json" || media.ends_with("+json")
}
