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

pub(in crate::native::openapi) struct Checker<'v> {
    whole: &'v Validator,
    /// The property that stands for the schema.
    name: &'v str,
    /// How many times the mistakes of a part may be collected for the whole.
    alternatives: u64,
}

/// A value where its schema looks for it.
pub(in crate::native::openapi) struct Wrapped(Value);

impl<'v> Checker<'v> {
    pub(super) fn new(whole: &'v Validator, name: &'v str, alternatives: u64) -> Self {
        Checker { whole, name, alternatives }
    }

    pub(in crate::native::openapi) fn wrap(&self, value: Value) -> Wrapped {
        Wrapped(Value::Object(Map::from_iter([(self.name.to_owned(), value)])))
    }

    pub(in crate::native::openapi) fn is_valid(&self, Wrapped(value): &Wrapped) -> bool {
        self.whole.is_valid(value)
    }

    /// The mistakes of a value; none if that may take too long.
    pub(in crate::native::openapi) fn errors<'w>(
        &'w self,
        Wrapped(value): &'w Wrapped,
    ) -> Option<impl Iterator<Item = ValidationError<'w>>> {
        let own = value.get(self.name).unwrap_or(&Value::Null);
        (work(own, self.alternatives) <= MOST).then(|| self.whole.iter_errors(value))
    }

    /// Where in the value itself a mistake is.
    pub(in crate::native::openapi) fn pointer(&self, error: &ValidationError<'_>) -> String {
        let whole = error.instance_path().as_str();
        whole.get(self.name.len() + 1..).unwrap_or_default().to_owned()
    }
}

/// How the alternatives of a schema multiply, if they do.
pub(super) fn alternatives(name: &str, definitions: &Map<String, Value>) -> u64 {
    let (seen, on_the_way) = (BTreeSet::new(), Vec::new());
    let mut graph = Graph { definitions, seen, on_the_way, alternatives: 0, returns: false };
    graph.visit(name);
    if graph.returns { graph.alternatives.max(1) } else { 1 }
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

    #[test]
    fn alternatives_that_return_multiply() {
        let other = format!("{HOME}#/$defs/1");
        let back = format!("{HOME}#/$defs/0");
        let of = |definitions: Value| alternatives("0", definitions.as_object().unwrap());
        let both = json!({ "anyOf": [{ "$ref": other }, {}] });
        assert_eq!(of(json!({ "0": both, "1": { "items": {} } })), 1);
        assert_eq!(of(json!({ "0": both, "1": { "items": { "$ref": back } } })), 2);
        assert_eq!(
            of(json!({ "0": { "items": { "$ref": back } } })),
            1,
            "it returns, but has no alternatives"
        );
        let deep = (0..20).fold(json!(1), |value, _| json!([value]));
        assert!(work(&deep, 1) <= MOST && work(&deep, 2) > MOST);
        assert!(work(&json!([[[1]]]), 2) <= MOST);
        assert!(work(&json!(vec![1; 100_000]), 1) > MOST);
    }
}
