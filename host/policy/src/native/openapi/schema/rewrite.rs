//! From a schema as the document has it to JSON Schema 2020-12.
//!
//! Version 3.0 has a language of its own: `nullable`, `exclusiveMinimum` as a truth, a `$ref` that stands
//! alone; what it does not have is ignored. Version 3.1 is JSON Schema already. In both, a `$ref` becomes one to
//! a definition of ours, and what may not go this way is taken out.

use serde_json::{Map, Value, json};

use super::{Schemas, Way, formats, reference};
use crate::native::description::{Spot, Version, Wrong};

/// Keywords with one schema, with a list and with an object of them.
const ONE: [&str; 10] = [
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const LIST: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
const NAMED: [&str; 4] = ["properties", "patternProperties", "dependentSchemas", "$defs"];

/// What version 3.0 has beside `$ref`.
const OF_3_0: [&str; 24] = [
    "additionalProperties",
    "allOf",
    "anyOf",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
    "uniqueItems",
];

/// What says nothing of whether a value is valid, or is said in another way.
const LEFT_OUT: [&str; 14] = [
    "$schema",
    "$comment",
    "title",
    "description",
    "default",
    "example",
    "examples",
    "deprecated",
    "discriminator",
    "externalDocs",
    "nullable",
    "readOnly",
    "writeOnly",
    "xml",
];

impl Schemas<'_> {
    pub(super) fn rewrite(&mut self, way: Way, spot: &Spot, schema: &Value) -> Result<Value, Wrong> {
        let Value::Object(written) = schema else { return Ok(schema.clone()) };
        let is_3_0 = self.reading.version == Version::V3_0;
        // A resource of its own: references in it are relative to it.
        if !is_3_0 && written.contains_key("$id") {
            return Ok(schema.clone());
        }
        let mut made = Map::new();
        if let Some(link) = written.get("$ref").and_then(Value::as_str) {
            made.insert("$ref".into(), Value::String(self.refer(way, spot, link)?));
            if is_3_0 {
                return Ok(Value::Object(made));
            }
        }
        let hidden = self.hidden(way, spot, written);
        for (key, value) in written {
            let key = key.as_str();
            let is_known = if is_3_0 { OF_3_0.contains(&key) } else { !LEFT_OUT.contains(&key) };
            if !is_known || key == "$ref" || key.starts_with("x-") {
                continue;
            }
            let at = spot.at(key);
            let value = match (key, value) {
                (key, value) if ONE.contains(&key) => self.rewrite(way, &at, value)?,
                (key, Value::Array(list)) if LIST.contains(&key) => {
                    let items = list.iter().enumerate();
                    let items = items.map(|(number, item)| self.rewrite(way, &at.at(number), item));
                    Value::Array(items.collect::<Result<_, _>>()?)
                }
                ("properties", Value::Object(all)) => Value::Object(self.properties(way, &at, all, &hidden)?),
                (key, Value::Object(all)) if NAMED.contains(&key) => {
                    let entries = all.iter();
                    let entries = entries
                        .map(|(name, value)| Ok((name.clone(), self.rewrite(way, &at.at(name), value)?)));
                    Value::Object(entries.collect::<Result<_, Wrong>>()?)
                }
                ("required", Value::Array(names)) => {
                    let is_visible =
                        |name: &&Value| !name.as_str().is_some_and(|name| hidden.iter().any(|it| it == name));
                    Value::Array(names.iter().filter(is_visible).cloned().collect())
                }
                (_, value) => value.clone(),
            };
            made.insert(key.to_owned(), value);
        }
        if is_3_0 {
            exclusive(&mut made, "exclusiveMinimum", "minimum");
            exclusive(&mut made, "exclusiveMaximum", "maximum");
        }
        self.discriminate(way, spot, written, &mut made)?;
        if self.reading.formats
            && let Some(limits) = written.get("format").and_then(Value::as_str).and_then(formats::of_number)
        {
            all_of(&mut made, limits);
        }
        match is_3_0 && written.get("nullable") == Some(&Value::Bool(true)) {
            true => Ok(nullable(made)),
            false => Ok(Value::Object(made)),
        }
    }

    fn properties(
        &mut self,
        way: Way,
        spot: &Spot,
        all: &Map<String, Value>,
        hidden: &[String],
    ) -> Result<Map<String, Value>, Wrong> {
        let mut made = Map::new();
        for (name, value) in all {
            let value = match hidden.contains(name) && !self.reading.lenient {
                true => Value::Bool(false),
                false => self.rewrite(way, &spot.at(name), value)?,
            };
            made.insert(name.clone(), value);
        }
        Ok(made)
    }

    /// Where a reference leads, as ours.
    pub(super) fn refer(&mut self, way: Way, spot: &Spot, link: &str) -> Result<String, Wrong> {
        // The `$id` of another schema, or a schema of JSON Schema itself; whether it is known is seen later.
        let is_uri = link.split_once(':').is_some_and(|(scheme, _)| !scheme.contains(['/', '#', '.']));
        if is_uri && self.reading.version == Version::V3_1 {
            return Ok(link.to_owned());
        }
        let target = self.files.link(spot, link)?;
        Ok(reference(self.define(way, target)))
    }

    /// The properties that don't go this way, those of its `allOf` included.
    fn hidden(&self, way: Way, spot: &Spot, schema: &Map<String, Value>) -> Vec<String> {
        let mut hidden = Vec::new();
        self.hide(way, spot, schema, &mut hidden, 0);
        hidden
    }

    fn hide(
        &self,
        way: Way,
        spot: &Spot,
        schema: &Map<String, Value>,
        hidden: &mut Vec<String>,
        depth: usize,
    ) {
        let flag = if way == Way::Request { "readOnly" } else { "writeOnly" };
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let is_flagged = |schema: &Value| schema.get(flag) == Some(&Value::Bool(true));
            let followed = || self.files.follow(&spot.at("properties").at(name)).ok();
            if is_flagged(property) || followed().is_some_and(|(_, schema)| is_flagged(schema)) {
                hidden.push(name.clone());
            }
        }
        // It may lead back to itself.
        if depth >= 8 {
            return;
        }
        let count = schema.get("allOf").and_then(Value::as_array).map_or(0, Vec::len);
        for number in 0..count {
            if let Ok((spot, Value::Object(part))) = self.files.follow(&spot.at("allOf").at(number)) {
                self.hide(way, &spot, part, hidden, depth + 1);
            }
        }
    }
}

/// `exclusiveMinimum = true` says how `minimum` is meant.
fn exclusive(schema: &mut Map<String, Value>, key: &str, bound: &str) {
    if let Some(Value::Bool(is_exclusive)) = schema.get(key).cloned() {
        schema.remove(key);
        if is_exclusive && let Some(bound) = schema.remove(bound) {
            schema.insert(key.to_owned(), bound);
        }
    }
}

/// Null as well, whatever else is said.
fn nullable(mut schema: Map<String, Value>) -> Value {
    if let Some(Value::Array(values)) = schema.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    if let Some(Value::String(one)) = schema.get("type") {
        let types = json!([one, "null"]);
        schema.insert("type".into(), types);
    }
    match LIST.iter().chain(["not"].iter()).any(|key| schema.contains_key(*key)) {
        true => json!({ "anyOf": [{ "type": "null" }, schema] }),
        false => Value::Object(schema),
    }
}

/// Something else that has to be so, too.
pub(super) fn all_of(schema: &mut Map<String, Value>, more: Value) {
    match schema.entry("allOf").or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(all) => all.push(more),
        other => *other = json!([more]),
    }
}
