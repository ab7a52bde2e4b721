//! What text becomes where a schema expects more than text: in parameters, forms and headers.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::native::description::{Files, Spot};

/// How deep shapes are looked into: text is never nested deeper.
const DEPTH: usize = 6;
/// The most schemas that one is made of: they may lead back to themselves in many ways.
const MOST: usize = 2000;

/// The types that a schema names, wherever it does, as far as text can have them.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    types: u8,
    items: Option<Box<Shape>>,
    properties: BTreeMap<String, Shape>,
    /// Of the properties that it does not name.
    others: Option<Box<Shape>>,
    /// Whether a part of a form is a file rather than text.
    pub(super) is_binary: bool,
}

const NULL: u8 = 1;
const BOOLEAN: u8 = 2;
const NUMBER: u8 = 4;
const STRING: u8 = 8;
const ARRAY: u8 = 16;
const OBJECT: u8 = 32;

impl Shape {
    pub(super) fn of(files: &Files, spot: &Spot) -> Self {
        let mut shape = Shape::default();
        let mut left = MOST;
        shape.learn(files, spot, 0, &mut left);
        shape
    }

    fn learn(&mut self, files: &Files, spot: &Spot, depth: usize, left: &mut usize) {
        let Some(Value::Object(schema)) = files.get(spot).filter(|_| depth < DEPTH && *left > 0) else {
            return;
        };
        *left -= 1;
        if schema.contains_key("$ref")
            && let Ok((target, _)) = files.follow(spot)
        {
            self.learn(files, &target, depth + 1, left);
        }
        match schema.get("type") {
            Some(Value::Array(names)) => names.iter().for_each(|name| self.types |= of_name(name)),
            Some(name) => self.types |= of_name(name),
            None => {}
        }
        if schema.get("nullable") == Some(&Value::Bool(true)) {
            self.types |= NULL;
        }
        self.is_binary |= schema.get("format").is_some_and(|format| format == "binary")
            || schema.contains_key("contentMediaType");
        let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
        listed.chain(schema.get("const")).for_each(|value| self.types |= of_value(value));
        for key in ["allOf", "anyOf", "oneOf"] {
            let count = schema.get(key).and_then(Value::as_array).map_or(0, Vec::len);
            (0..count).for_each(|number| self.learn(files, &spot.at(key).at(number), depth + 1, left));
        }
        if schema.contains_key("items") {
            self.types |= ARRAY;
            self.items.get_or_insert_default().learn(files, &spot.at("items"), depth + 1, left);
        }
        if schema.get("additionalProperties").is_some_and(Value::is_object) {
            self.others.get_or_insert_default().learn(
                files,
                &spot.at("additionalProperties"),
                depth + 1,
                left,
            );
        }
        for name in schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|it| it.0) {
            self.types |= OBJECT;
            let property = self.properties.entry(name.clone()).or_default();
            property.learn(files, &spot.at("properties").at(name), depth + 1, left);
        }
    }

    pub(super) fn is_array(&self) -> bool {
        self.types & ARRAY != 0
    }

    pub(super) fn is_object(&self) -> bool {
        self.types & OBJECT != 0
    }

    /// Whether text may have been meant as it is, where it was understood as something else.
    pub(super) fn may_be_text(&self) -> bool {
        self.types & STRING != 0
    }

    /// Whether it names this property.
    pub(super) fn has(&self, name: &str) -> bool {
        self.properties.contains_key(name)
    }

    pub(super) fn property(&self, name: &str) -> Option<&Shape> {
        self.properties.get(name).or(self.others.as_deref())
    }

    /// One value that is neither list nor object. What does not fit stays text: its schema says so then.
    pub(super) fn value(&self, text: String) -> Value {
        let is = |kind: u8| self.types & kind != 0;
        if is(NUMBER)
            && let Some(number) = number(&text)
        {
            return Value::Number(number);
        }
        match &*text {
            "true" if is(BOOLEAN) => Value::Bool(true),
            "false" if is(BOOLEAN) => Value::Bool(false),
            "null" if is(NULL) => Value::Null,
            "" if is(NULL) && !is(STRING) => Value::Null,
            _ => Value::String(text),
        }
    }

    pub(super) fn array(&self, texts: impl Iterator<Item = String>) -> Value {
        let none = Shape::default();
        let items = self.items.as_deref().unwrap_or(&none);
        Value::Array(texts.map(|text| items.value(text)).collect())
    }

    pub(super) fn object(&self, entries: impl Iterator<Item = (String, String)>) -> Value {
        let mut object = Map::new();
        for (name, text) in entries {
            let shape = self.property(&name);
            // A name that comes again makes a list, if a list is what it is.
            let value = match object.remove(&name) {
                Some(Value::Array(mut list)) if shape.is_some_and(Shape::is_array) => {
                    let items = shape.and_then(|shape| shape.items.as_deref());
                    list.push(items.map_or_else(|| Value::String(text.clone()), |it| it.value(text.clone())));
                    Value::Array(list)
                }
                _ => match shape {
                    Some(shape) if shape.is_array() => shape.array(std::iter::once(text)),
                    Some(shape) => shape.value(text),
                    None => Value::String(text),
                },
            };
            object.insert(name, value);
        }
        Value::Object(object)
    }
}

fn of_name(name: &Value) -> u8 {
    match name.as_str() {
        Some("null") => NULL,
        Some("boolean") => BOOLEAN,
        Some("integer" | "number") => NUMBER,
        Some("string") => STRING,
        Some("array") => ARRAY,
        Some("object") => OBJECT,
        _ => 0,
    }
}

fn of_value(value: &Value) -> u8 {
    match value {
        Value::Null => NULL,
        Value::Bool(_) => BOOLEAN,
        Value::Number(_) => NUMBER,
        Value::String(_) => STRING,
        Value::Array(_) | Value::Object(_) => 0,
    }
}

/// As JSON has numbers: neither "+1" nor "01" nor "NaN".
fn number(text: &str) -> Option<Number> {
    // JSON may have spaces around it.
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    let is_bare = [digits.first(), digits.last()].iter().all(|byte| byte.is_some_and(u8::is_ascii_digit));
    serde_json::from_str(text).ok().filter(|_| is_bare)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// That of a schema.
    pub(in crate::native::openapi) fn shape(schema: &Value) -> Shape {
        Shape::of(&Files::of(schema.clone()), &Spot::root())
    }

    #[test]
    fn numbers_are_those_of_json() {
        for good in ["0", "-1", "1.50", "1e3", "9223372036854775808", "12345678901234567890123"] {
            assert!(number(good).is_some(), "{good}");
        }
        for bad in ["", "+1", "01", ".5", "1.", " 1", "1 ", "NaN", "Infinity", "0x1", "-", "1,5"] {
            assert!(number(bad).is_none(), "{bad}");
        }
    }
}
