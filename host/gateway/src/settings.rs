//! Settings of a plugin against the JSON Schema that it carries.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use limen_config::{ConfigError, Settings, did_you_mean};
use serde_json::Value;

/// What a plugin's schema says, made once for all its settings: thousands of routes may have some.
pub struct Checker<'a> {
    plugin: &'a str,
    /// None without a schema: then all is well.
    validator: Option<Validator>,
    /// The names of the settings.
    names: Vec<String>,
}

impl<'a> Checker<'a> {
    pub fn new(schema: Option<&Value>, plugin: &'a str) -> Result<Self, String> {
        let Some(schema) = schema else { return Ok(Checker { plugin, validator: None, names: Vec::new() }) };
        let mut schema = schema.clone();
        refuse_undeclared(&mut schema);
        // The default engine for `pattern` backtracks; a plugin's schema is not to be trusted with that.
        let options = jsonschema::options().with_pattern_options(jsonschema::PatternOptions::regex());
        let validator =
            options.build(&schema).map_err(|error| format!("its schema for settings is broken: {error}"))?;
        Ok(Checker { plugin, validator: Some(validator), names: declared(&schema) })
    }

    /// What is wrong with these settings, each at its place in the file.
    pub fn check(&self, settings: &Settings) -> Vec<ConfigError> {
        let found = self.validator.iter().flat_map(|validator| validator.iter_errors(settings.value()));
        let found: Vec<_> = found.collect();
        let unknown: Vec<_> = found.iter().flat_map(unknown_settings).collect();
        let mut errors = Vec::new();
        for error in &found {
            let pointer = error.instance_path().as_str();
            match error.kind() {
                // Each at its own place, and not all of them at the table that they stand in.
                ValidationErrorKind::AdditionalProperties { unexpected }
                | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                    errors.extend(unexpected.iter().map(|name| self.unknown(settings, pointer, name)));
                }
                // That is said of an object that has no properties, and of the first it was given alone.
                ValidationErrorKind::FalseSchema => match settings.value().pointer(pointer) {
                    Some(Value::Object(given)) if !given.is_empty() => {
                        let unknown = given.keys().map(|name| self.unknown(settings, pointer, name));
                        errors.extend(
                            unknown.map(|error| error.expected("nothing here: there are no settings")),
                        );
                    }
                    _ => errors.push(self.wrong(settings, pointer, error)),
                },
                // It is there, under a name that is told already.
                ValidationErrorKind::Required { property }
                    if pointer.is_empty() && is_misspelt(property, &unknown) => {}
                _ => errors.push(self.wrong(settings, pointer, error)),
            }
        }
        errors
    }

    fn unknown(&self, settings: &Settings, pointer: &str, name: &str) -> ConfigError {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        let what = format_args!("unknown setting `{name}`");
        let error = self.wrong(settings, &format!("{pointer}/{escaped}"), &what);
        let known = if pointer.is_empty() { self.names.as_slice() } else { &[] };
        match did_you_mean(name, known.iter().map(String::as_str)) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    fn wrong(&self, settings: &Settings, pointer: &str, what: &dyn std::fmt::Display) -> ConfigError {
        let plugin = self.plugin;
        let place = settings.place(pointer).clone();
        let error = ConfigError::new(place, format!("settings of `{plugin}`: {what}"));
        if self.names.is_empty() {
            return error;
        }
        let names: Vec<_> = self.names.iter().map(|name| format!("`{name}`")).collect();
        error.expected(format!("the settings of `{plugin}`: {}", names.join(", ")))
    }
}

/// Of those that stand in no other: what the schema refuses for its name.
fn unknown_settings<'e>(error: &'e ValidationError<'_>) -> &'e [String] {
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected }
            if error.instance_path().as_str().is_empty() =>
        {
            unexpected
        }
        _ => &[],
    }
}

fn is_misspelt(setting: &Value, unknown: &[&String]) -> bool {
    setting.as_str().is_some_and(|setting| unknown.iter().any(|name| did_you_mean(name, [setting]).is_some()))
}

/// The names of the settings.
fn declared(schema: &Value) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|properties| properties.keys()).cloned().collect()
}

/// An object that names its properties and is silent on others has no others: a slip of the pen in
/// the settings is a mistake, not a setting that is ignored.
fn refuse_undeclared(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let silent = ["additionalProperties", "unevaluatedProperties", "patternProperties"]
        .iter()
        .all(|keyword| !object.contains_key(*keyword));
    if object.contains_key("properties") && silent {
        object.insert("unevaluatedProperties".to_owned(), Value::Bool(false));
    }
    // Not below `allOf` and its like: what one branch does not name another may.
    for keyword in ["properties", "$defs"] {
        if let Some(Value::Object(inner)) = object.get_mut(keyword) {
            inner.values_mut().for_each(refuse_undeclared);
        }
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(inner) = object.get_mut(keyword) {
            refuse_undeclared(inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// One mistake is told once; but a name that the schema lets pass is no other one's.
    #[test]
    fn what_is_misspelt_is_not_missing_as_well() {
        let is_told_once = |schema: Value| {
            let given = json!({ "words": 1 });
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<_> = validator.iter_errors(&given).collect();
            let unknown: Vec<_> = errors.iter().flat_map(unknown_settings).collect();
            is_misspelt(&json!("word"), &unknown)
        };
        let mut schema = json!({ "properties": { "word": {} }, "required": ["word"] });
        assert!(!is_told_once(schema.clone()));
        refuse_undeclared(&mut schema);
        assert!(is_told_once(schema));
    }

    #[test]
    fn what_the_schema_does_not_name_is_refused_at_every_depth() {
        let mut schema = json!({
            "type": "object",
            "properties": { "list": { "type": "array", "items": { "properties": { "a": {} } } }, "free": { "additionalProperties": true, "properties": {} } }
        });
        refuse_undeclared(&mut schema);
        let validator = jsonschema::validator_for(&schema).unwrap();
        assert!(validator.is_valid(&json!({ "list": [{ "a": 1 }], "free": { "x": 1 } })));
        assert!(!validator.is_valid(&json!({ "lst": [] })));
        assert!(!validator.is_valid(&json!({ "list": [{ "b": 1 }] })));
    }
}
