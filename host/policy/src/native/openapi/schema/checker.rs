//! One compiled schema, and how much it may take to tell what is wrong with a value.
//!
//! Whether a value is valid costs no more than it is long. Its mistakes are collected before the first is told,
//! those of every alternative included; and alternatives of a schema that leads back to itself multiply at each
//! level of the value. Whoever sends a kilobyte must not cost seconds: beyond a bound it is told only that the
//! value is wrong.

use std::collections::BTreeSet;

use jsonschema::{ValidationError, Validator};
use serde_json::{Map, Value};

use super::HOME;

/// The most that is looked at to tell mistakes, in values, once for each alternative.
const MOST: u64 = 10_000;

pub(in crate::native::openapi) struct Checker {
    validator: Validator,
    /// How many times the mistakes of a part may be collected for the whole.
    alternatives: u64,
}

impl Checker {
    pub(super) fn new(validator: Validator, number: usize, definitions: &Map<String, Value>) -> Self {
        let mut graph = Graph {
            definitions,
            seen: BTreeSet::new(),
            on_the_way: Vec::new(),
            alternatives: 0,
            returns: false,
        };
        graph.visit(&number.to_string());
        let alternatives = if graph.returns { graph.alternatives.max(1) } else { 1 };
        Checker { validator, alternatives }
    }

    pub(in crate::native::openapi) fn is_valid(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// The mistakes of a value; none if that may take too long.
    pub(in crate::native::openapi) fn errors<'v>(
        &'v self,
        value: &'v Value,
    ) -> Option<impl Iterator<Item = ValidationError<'v>>> {
        (work(value, self.alternatives) <= MOST).then(|| self.validator.iter_errors(value))
    }
}

/// As deep as the parser of JSON lets it be.
fn work(value: &Value, alternatives: u64) -> u64 {
    let within = |work_of: &mut dyn Iterator<Item = &Value>| {
        let mut sum: u64 = 0;
        for part in work_of {
            sum = sum.saturating_add(work(part, alternatives));
            if sum > MOST {
                break;
            }
        }
        sum.saturating_mul(alternatives).saturating_add(1)
    };
    match value {
        Value::Array(items) => within(&mut items.iter()),
        Value::Object(entries) => within(&mut entries.values()),
        _ => 1,
    }
}

/// What a definition leads to.
struct Graph<'d> {
    definitions: &'d Map<String, Value>,
    seen: BTreeSet<String>,
    on_the_way: Vec<String>,
    /// All branches of `anyOf` and `oneOf`.
    alternatives: u64,
    /// Whether some definition leads back to itself, as far as can be seen.
    returns: bool,
}

impl Graph<'_> {
    fn visit(&mut self, name: &str) {
        if self.on_the_way.iter().any(|known| known == name) {
            self.returns = true;
            return;
        }
        if !self.seen.insert(name.to_owned()) {
            return;
        }
        self.on_the_way.push(name.to_owned());
        if let Some(schema) = self.definitions.get(name) {
            self.walk(schema);
        }
        self.on_the_way.pop();
    }

    fn walk(&mut self, schema: &Value) {
        match schema {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(entries) => {
                for (key, value) in entries {
                    match (key.as_str(), value) {
                        ("$ref", Value::String(link)) => {
                            match link.strip_prefix(HOME).and_then(|rest| rest.strip_prefix("#/$defs/")) {
                                Some(name) => self.visit(name),
                                None => self.returns = true,
                            }
                        }
                        ("$dynamicRef", _) => self.returns = true,
                        ("anyOf" | "oneOf", Value::Array(branches)) => {
                            self.alternatives = self.alternatives.saturating_add(branches.len() as u64);
                            self.walk(value);
                        }
                        // Of a `discriminator`: no object comes there.
                        ("else", _) if entries.get("if").is_some_and(super::discriminator::is_object) => {}
                        (_, value) => self.walk(value),
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checker(definitions: Value) -> Checker {
        let validator = jsonschema::validator_for(&json!(true)).unwrap();
        Checker::new(validator, 0, definitions.as_object().unwrap())
    }

    #[test]
    fn alternatives_that_return_multiply() {
        let other = format!("{HOME}#/$defs/1");
        let back = format!("{HOME}#/$defs/0");
        let both = json!({ "anyOf": [{ "$ref": other }, {}] });
        let straight = checker(json!({ "0": both, "1": { "items": {} } }));
        let returning = checker(json!({ "0": both, "1": { "items": { "$ref": back } } }));
        assert_eq!((straight.alternatives, returning.alternatives), (1, 2));
        let list = json!({ "0": { "items": { "$ref": back } } });
        assert_eq!(checker(list).alternatives, 1, "it returns, but has no alternatives");
        let deep = (0..20).fold(json!(1), |value, _| json!([value]));
        assert!(straight.errors(&deep).is_some() && returning.errors(&deep).is_none());
        assert!(returning.errors(&json!([[[1]]])).is_some());
        assert!(straight.errors(&json!(vec![1; 100_000])).is_none());
    }
}
