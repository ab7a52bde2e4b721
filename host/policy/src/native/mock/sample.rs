//! A value that a schema takes, made of nothing but the schema.

use serde_json::{Map, Value, json};

use crate::native::description::{Files, Spot};

/// How deep it goes where a schema leads back to itself; further down only what is required is there.
const OPTIONAL: usize = 4;
const DEPTH: usize = 12;
/// The most items and characters that are made.
const MOST: u64 = 100;
/// The most values of one sample: where several properties lead back to their schema they multiply.
const VALUES: u32 = 1000;

pub(super) fn sample(files: &Files, spot: &Spot) -> Value {
    Sampler { files, left: VALUES }.made(spot, 0)
}

struct Sampler<'f> {
    files: &'f Files,
    /// How many values may still be made.
    left: u32,
}

impl Sampler<'_> {
    fn made(&mut self, spot: &Spot, depth: usize) -> Value {
        let Ok((spot, Value::Object(schema))) = self.files.follow(spot) else { return Value::Null };
        if depth > DEPTH || self.left == 0 {
            return Value::Null;
        }
        self.left -= 1;
        let first = |key: &str| schema.get(key).and_then(Value::as_array).and_then(|all| all.first());
        let given = ["example", "const", "default"].iter().find_map(|key| schema.get(*key));
        if let Some(value) = given.or_else(|| first("examples")).or_else(|| first("enum")) {
            return value.clone();
        }
        for key in ["oneOf", "anyOf"] {
            if first(key).is_some() {
                let one = self.made(&spot.at(key).at(0), depth + 1);
                return self.merged(one, schema, &spot, depth);
            }
        }
        let parts = schema.get("allOf").and_then(Value::as_array).map_or(0, Vec::len);
        let mut value = Value::Null;
        for number in 0..parts {
            let part = self.made(&spot.at("allOf").at(number), depth + 1);
            value = match (value, part) {
                (Value::Object(mut all), Value::Object(more)) => {
                    all.extend(more);
                    Value::Object(all)
                }
                (Value::Null, part) => part,
                (value, _) => value,
            };
        }
        self.merged(value, schema, &spot, depth)
    }

    /// With what the schema says itself.
    fn merged(&mut self, value: Value, schema: &Map<String, Value>, spot: &Spot, depth: usize) -> Value {
        let own = match schema.get("type") {
            Some(Value::Array(types)) => types.iter().find(|it| *it != "null").and_then(Value::as_str),
            one => one.and_then(Value::as_str),
        };
        let is_object = schema.contains_key("properties");
        match (own, value) {
            (Some("object"), Value::Object(all)) => self.with_properties(all, schema, spot, depth),
            (None, Value::Object(all)) if is_object => self.with_properties(all, schema, spot, depth),
            (Some("object"), Value::Null) => self.with_properties(Map::new(), schema, spot, depth),
            (None, Value::Null) if is_object => self.with_properties(Map::new(), schema, spot, depth),
            (Some("array"), Value::Null) => {
                let count = number(schema, "minItems").map_or(1, |least| (least as u64).clamp(1, MOST));
                let mut items = Vec::new();
                for _ in 0..count {
                    let item = self.made(&spot.at("items"), depth + 1);
                    if item.is_null() && (depth >= OPTIONAL || self.left == 0) {
                        break;
                    }
                    items.push(item);
                }
                Value::Array(items)
            }
            (Some("string"), Value::Null) => Value::String(text(schema)),
            (Some("boolean"), Value::Null) => Value::Bool(true),
            (Some("integer"), Value::Null) => json!(least(schema).ceil() as i64),
            (Some("number"), Value::Null) => json!(least(schema)),
            (_, value) => value,
        }
    }

    fn with_properties(
        &mut self,
        mut all: Map<String, Value>,
        schema: &Map<String, Value>,
        spot: &Spot,
        depth: usize,
    ) -> Value {
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|it| it == name));
        let at = spot.at("properties");
        for (name, _) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let is_hidden = |schema: &Value| schema.get("writeOnly") == Some(&Value::Bool(true));
            let hidden = self.files.follow(&at.at(name)).is_ok_and(|(_, schema)| is_hidden(schema));
            if !hidden && (depth < OPTIONAL || is_required(name)) {
                all.insert(name.clone(), self.made(&at.at(name), depth + 1));
            }
        }
        Value::Object(all)
    }
}

fn number(schema: &Map<String, Value>, key: &str) -> Option<f64> {
    schema.get(key).and_then(Value::as_f64)
}

/// The smallest number that fits, or nought.
fn least(schema: &Map<String, Value>) -> f64 {
    let exclusive = match schema.get("exclusiveMinimum") {
        Some(Value::Bool(true)) => number(schema, "minimum").map(|least| least + 1.0),
        _ => number(schema, "exclusiveMinimum").map(|least| least + 1.0),
    };
    let least = exclusive.or_else(|| number(schema, "minimum")).unwrap_or(0.0);
    let least = number(schema, "maximum").map_or(least, |most| if most < least { most } else { least });
    match number(schema, "multipleOf").filter(|step| *step > 0.0) {
        Some(step) => (least / step).ceil() * step,
        None => least,
    }
}

fn text(schema: &Map<String, Value>) -> String {
    let text = match schema.get("format").and_then(Value::as_str).unwrap_or_default() {
        "date" => "2020-01-01",
        "date-time" => "2020-01-01T00:00:00Z",
        "time" => "00:00:00Z",
        "duration" => "P1D",
        "email" => "user@example.com",
        "hostname" => "example.com",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "uri" | "url" | "iri" => "https://example.com/",
        "uri-reference" => "/",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        "byte" => "c3RyaW5n",
        _ => {
            let least = number(schema, "minLength").map_or(0, |least| (least as u64).min(MOST) as usize);
            let most = number(schema, "maxLength").map_or(usize::MAX, |most| most as usize);
            return "string".chars().cycle().take(least.max(6).min(most)).collect();
        }
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_that_multiply_are_cut_off() {
        let back = json!({ "$ref": "#" });
        let list = json!({ "type": "array", "minItems": 100, "items": back });
        let all = json!({ "type": "object", "required": ["a", "b", "c"], "properties": { "a": back, "b": list, "c": list } });
        let files = Files::of(all);
        assert!(sample(&files, &Spot::root()).to_string().len() < 64 << 10);
    }
}
