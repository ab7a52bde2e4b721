//! A JSON Schema of settings as lines for people: one for each setting.

use serde_json::Value;

/// How deep settings are told; below that the schema itself has to be read.
const DEEPEST: usize = 4;

/// Such as `keys.NAME: string`, in the order of the schema.
pub fn lines(schema: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    Reader { root: schema, lines: &mut lines }.object(schema, "", 0);
    lines
}

struct Reader<'a> {
    root: &'a Value,
    lines: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    fn object(&mut self, schema: &'a Value, path: &str, depth: usize) {
        if depth == DEEPEST {
            return;
        }
        let schema = self.resolve(schema);
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|it| it == name));
        for (name, setting) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            self.setting(setting, &format!("{path}{name}"), is_required(name), depth);
        }
        if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
            self.setting(values, &format!("{path}NAME"), false, depth);
        }
    }

    fn setting(&mut self, schema: &'a Value, path: &str, required: bool, depth: usize) {
        let found = self.resolve(schema);
        let mut line = format!("{path}: {}", kind(found));
        if required {
            line += ", required";
        }
        if let Some(default) =
            schema.get("default").or_else(|| found.get("default")).filter(|it| !it.is_null())
        {
            line += &format!(", default {default}");
        }
        let description = schema.get("description").or_else(|| found.get("description"));
        if let Some(description) = description.and_then(Value::as_str) {
            line += &format!(". {}", description.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        self.lines.push(line);
        self.object(found, &format!("{path}."), depth + 1);
        if let Some(items) = found.get("items") {
            self.object(items, &format!("{path}[]."), depth + 1);
        }
    }

    /// What `$ref` names, of this schema only.
    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix('#'));
        target.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }
}

/// Such as `string`, `string or null`, `list of integer`, `"a" or "b"`.
fn kind(schema: &Value) -> String {
    let or = |kinds: Vec<String>| kinds.join(" or ");
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return or(values.iter().map(Value::to_string).collect());
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema.get(choice).and_then(Value::as_array) {
            return or(choices.iter().map(kind).collect());
        }
    }
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "array" => match schema.get("items") {
            Some(items) => format!("list of {}", self::kind(items)),
            None => "list".to_owned(),
        },
        Some(Value::String(kind)) => kind.clone(),
        Some(Value::Array(kinds)) => or(kinds.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        _ if schema.get("$ref").is_some() => "object".to_owned(),
        _ => "anything".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_setting_is_a_line() {
        let schema = json!({
            "type": "object",
            "properties": {
                "header": { "type": "string", "default": "x-api-key", "description": "The header\nof the key." },
                "keys": { "type": "object", "additionalProperties": { "type": "string" } },
                "mode": { "$ref": "#/$defs/Mode" },
                "rules": { "type": "array", "items": { "$ref": "#/$defs/Rule" } },
                "note": { "type": ["string", "null"] },
            },
            "required": ["keys"],
            "$defs": {
                "Mode": { "oneOf": [{ "const": "strict" }, { "enum": ["lax", "off"] }] },
                "Rule": { "type": "object", "properties": { "to": { "type": "string" } }, "required": ["to"] },
            },
        });
        assert_eq!(
            lines(&schema),
            [
                "header: string, default \"x-api-key\". The header of the key.",
                "keys: object, required",
                "keys.NAME: string",
                "mode: \"strict\" or \"lax\" or \"off\"",
                "note: string or null",
                "rules: list of object",
                "rules[].to: string, required",
            ]
        );
    }

    #[test]
    fn a_schema_without_end_has_one() {
        let schema = json!({ "properties": { "more": { "$ref": "#" } } });
        assert_eq!(lines(&schema).len(), DEEPEST);
        assert_eq!(lines(&json!({ "$ref": "#" })), [""; 0]);
        assert_eq!(lines(&json!(true)), [""; 0]);
    }
}
