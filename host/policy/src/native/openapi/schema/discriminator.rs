//! `discriminator`: which of several schemas is meant, by the value of a property.
//!
//! Without it, a value that none of them takes is told just that. With it, what is wrong is told by the schema
//! that was meant, and two that are alike are not confused. In a schema that has neither `oneOf` nor `anyOf`
//! (those that have it in their `allOf` are meant), it says nothing of validity.

use serde_json::{Map, Value, json};

use super::rewrite::all_of;
use super::{Schemas, Way};
use crate::native::description::{Spot, Wrong};

impl Schemas<'_> {
    pub(super) fn discriminate(
        &mut self,
        way: Way,
        spot: &Spot,
        written: &Map<String, Value>,
        made: &mut Map<String, Value>,
    ) -> Result<(), Wrong> {
        let Some(discriminator) = written.get("discriminator") else { return Ok(()) };
        let Some(property) = discriminator.get("propertyName").and_then(Value::as_str) else {
            return Err(spot.at("discriminator").is_wrong("a discriminator without `propertyName`"));
        };
        let Some(key) = ["oneOf", "anyOf"].into_iter().find(|key| written.contains_key(*key)) else {
            return Ok(());
        };
        let mut meant: Vec<(String, String)> = Vec::new();
        for branch in written.get(key).and_then(Value::as_array).into_iter().flatten() {
            // One that stands there itself has no name: then all are tried.
            let Some(link) = branch.get("$ref").and_then(Value::as_str) else { return Ok(()) };
            let target = self.files.link(spot, link)?;
            let mapping = discriminator.get("mapping").and_then(Value::as_object);
            let given = mapping.into_iter().flatten().filter(|(_, to)| self.leads_to(spot, to, &target));
            let mut names: Vec<_> = given.map(|(name, _)| name.clone()).collect();
            if names.is_empty() {
                names.push(target.last());
            }
            let reference = self.refer(way, spot, link)?;
            meant.extend(names.into_iter().map(|name| (name, reference.clone())));
        }
        let names: Vec<_> = meant.iter().map(|(name, _)| name).collect();
        let mut chosen =
            vec![json!({ "required": [property], "properties": { property: { "enum": names } } })];
        chosen.extend(meant.iter().map(|(name, reference)| {
            json!({
                "if": { "required": [property], "properties": { property: { "const": name } } },
                "then": { "$ref": reference },
            })
        }));
        let branches = made.remove(key);
        let otherwise = json!({ key: branches });
        all_of(made, json!({ "if": object(), "then": { "allOf": chosen }, "else": otherwise }));
        Ok(())
    }

    /// Whether a value of `mapping` means this schema: by a reference, or by its name.
    fn leads_to(&self, spot: &Spot, value: &Value, target: &Spot) -> bool {
        let Some(text) = value.as_str() else { return false };
        let is_name = !text.contains(['/', '#']);
        (is_name && *text == target.last()) || self.files.link(spot, text).is_ok_and(|it| it == *target)
    }
}

/// What `discriminator` is for.
fn object() -> Value {
    json!({ "type": "object" })
}

pub(super) fn is_object(schema: &Value) -> bool {
    *schema == object()
}
