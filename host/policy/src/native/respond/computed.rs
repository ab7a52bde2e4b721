//! Answers that are not always the same: what expressions come to is put into them.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use serde_json::Value;

use crate::native::expression::{Stage, Template};
use crate::{Exchange, Failure, FailureKind, MAX_REPLY, MAX_VALUE, Reply};

/// What has to be computed of an answer.
#[derive(Default)]
pub(super) struct Computed {
    pub(super) headers: Vec<(HeaderName, Template)>,
    pub(super) body: Option<Body>,
}

pub(super) enum Body {
    Text(Template, Escape),
    /// A value, and the texts in it by their JSON Pointers.
    Json(Value, Vec<(String, Template)>),
}

/// How a value is written, so that it stays one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    Nothing,
    /// In texts and quoted attributes of HTML and XML.
    Markup,
    /// Within the quotes of a string.
    Json,
}

impl Escape {
    /// That of a body of this `Content-Type`.
    pub(super) fn of(kind: &str) -> Self {
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match kind.rsplit(['/', '+']).next() {
            Some("html" | "xml") => Escape::Markup,
            Some("json") => Escape::Json,
            _ => Escape::Nothing,
        }
    }

    fn write(self, value: &str, text: &mut String) {
        match self {
            Escape::Nothing => text.push_str(value),
            Escape::Json => {
                // Within quotes of the template's own.
                let quoted = Value::from(value).to_string();
                text.push_str(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
            }
            Escape::Markup => value.chars().for_each(|c| match c {
                '&' | '<' | '>' | '"' | '\'' => _ = write!(text, "&#{};", u32::from(c)),
                c => text.push(c),
            }),
        }
    }
}

impl Body {
    /// A value whose texts may have expressions in them. Those that have none are put in, with braces that are
    /// doubled no more.
    pub(super) fn json(mut value: Value) -> Result<Self, String> {
        let mut computed = Vec::new();
        read(&mut value, &mut String::new(), &mut computed)?;
        Ok(Body::Json(value, computed))
    }

    /// What it always is, if it has no expressions.
    pub(super) fn fixed(&self) -> Option<Bytes> {
        match self {
            Body::Text(template, _) => template.fixed().map(|text| Bytes::from(text.to_owned())),
            Body::Json(value, computed) => computed.is_empty().then(|| Bytes::from(value.to_string())),
        }
    }

    /// What it is for an exchange; none: it would be too long.
    fn of(&self, exchange: &Exchange) -> Option<Bytes> {
        match self {
            Body::Text(template, escape) => {
                let filled = template.fill(exchange, |all, value| {
                    // Where there is no value, nothing is.
                    escape.write(&value.unwrap_or_default(), all);
                    if all.len() > MAX_REPLY { Err(String::new()) } else { Ok(()) }
                });
                filled.ok().filter(|text| text.len() <= MAX_REPLY).map(Bytes::from)
            }
            Body::Json(value, computed) => {
                let mut value = value.clone();
                let mut length = 0;
                for (pointer, template) in computed {
                    let text = template.text(exchange).ok();
                    length += text.as_ref().map_or(0, String::len);
                    if length > MAX_REPLY {
                        return None;
                    }
                    if let Some(place) = value.pointer_mut(pointer) {
                        *place = text.map_or(Value::Null, Value::from);
                    }
                }
                Some(Bytes::from(value.to_string())).filter(|body| body.len() <= MAX_REPLY)
            }
        }
    }
}

impl Computed {
    pub(super) fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.body.is_none()
    }

    /// Puts it into an answer. A header without a value, or with one that it can't have, is not there.
    pub(super) fn fill(&self, exchange: &Exchange, reply: &mut Reply) -> Result<(), Failure> {
        for (name, template) in &self.headers {
            let value = template.text(exchange).ok().filter(|value| value.len() <= MAX_VALUE);
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                reply.head.headers_mut().insert(name.clone(), value);
            }
        }
        if let Some(body) = &self.body {
            let too_long =
                || Failure::new(FailureKind::Failed, format!("an answer of more than {MAX_REPLY} bytes"));
            reply.body = body.of(exchange).ok_or_else(too_long)?;
            // What a client has sent is in it: no browser is to guess that it is a page.
            let guess = HeaderValue::from_static("nosniff");
            reply.head.headers_mut().entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(guess);
        }
        Ok(())
    }
}

/// Goes through all texts of a value.
fn read(
    value: &mut Value,
    pointer: &mut String,
    computed: &mut Vec<(String, Template)>,
) -> Result<(), String> {
    let length = pointer.len();
    match value {
        Value::String(text) => {
            let template = Template::new(text, Stage::Request)?;
            match template.fixed() {
                Some(fixed) => *text = fixed.to_owned(),
                None => computed.push((pointer.clone(), template)),
            }
        }
        Value::Array(all) => {
            for (number, one) in all.iter_mut().enumerate() {
                let _ = write!(pointer, "/{number}"); // into a string nothing fails
                read(one, pointer, computed)?;
                pointer.truncate(length);
            }
        }
        Value::Object(all) => {
            for (name, one) in all.iter_mut() {
                let _ = write!(pointer, "/{}", name.replace('~', "~0").replace('/', "~1"));
                read(one, pointer, computed)?;
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}
