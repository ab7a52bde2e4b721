//! Texts with expressions in them: `"user-{consumer.id}"`.

use std::borrow::Cow;

use limen_config::closing_brace;
use serde::{Deserialize, Deserializer};

use super::{Expression, Stage, VALUES};
use crate::Exchange;

/// A text with `{expressions}` in it. `{{` and `}}` are braces.
#[derive(Debug)]
pub struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Value(Expression),
}

/// What most likely was meant where braces hold no expression.
const DOUBLED: &str =
    "what stands in braces is an expression; a brace that is meant as such is doubled: `{{`";

impl Template {
    pub fn new(text: &str, stage: Stage) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            plain.push_str(before);
            if from.starts_with("{{") || from.starts_with("}}") {
                plain.push_str(from.get(..1).unwrap_or_default());
                rest = from.get(2..).unwrap_or_default();
                continue;
            }
            let end = from.starts_with('{').then(|| closing_brace(from)).flatten();
            let Some(end) = end else {
                return Err(format!("a brace without its other half in `{text}`; {DOUBLED}"));
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            let value = Expression::new(from.get(1..end).unwrap_or_default(), stage, VALUES);
            parts.push(Part::Value(value.map_err(|error| format!("{error}; {DOUBLED}"))?));
            rest = from.get(end + 1..).unwrap_or_default();
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Template(parts))
    }

    /// The text, if it has no expressions: what it always is.
    pub fn fixed(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// What follows the last expression.
    pub fn end(&self) -> &str {
        match self.0.last() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// What it would be if all its expressions came to this.
    pub fn sample(&self, value: &str) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Value(_) => value.to_owned(),
        };
        self.0.iter().map(text).collect()
    }

    /// What it is for an exchange.
    pub fn text(&self, exchange: &Exchange) -> Result<String, String> {
        self.fill(exchange, |all, value| value.map(|value| all.push_str(&value)))
    }

    /// The same, or what it always is.
    pub fn told(&self, exchange: &Exchange) -> Result<Cow<'_, str>, String> {
        self.fixed().map_or_else(|| self.text(exchange).map(Cow::Owned), |fixed| Ok(Cow::Borrowed(fixed)))
    }

    /// The same, where each value, or why there is none, is put in by somebody who knows how it has to be written.
    pub fn fill(
        &self,
        exchange: &Exchange,
        put: impl Fn(&mut String, Result<String, String>) -> Result<(), String>,
    ) -> Result<String, String> {
        let mut all = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => all.push_str(text),
                Part::Value(expression) => put(&mut all, expression.told_text(exchange))?,
            }
        }
        Ok(all)
    }
}

/// One over the request, in settings.
impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Template::new(&text, Stage::Request).map_err(serde::de::Error::custom)
    }
}
