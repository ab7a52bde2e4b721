//! Names with values: queries, forms and cookies.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::shape::Shape;
use super::style::{Style, Written, decoded_in_form};

/// The most pairs that are looked at.
pub(super) const MOST: usize = 1000;

/// Pairs as they were sent, values still encoded.
pub(super) struct Pairs<'r> {
    all: Vec<(String, Option<&'r str>)>,
    decode: fn(&str) -> String,
    /// Whether there were more than are looked at.
    pub(super) too_many: bool,
}

impl<'r> Pairs<'r> {
    /// Of a query or a form.
    pub(super) fn of_query(raw: &'r str) -> Self {
        let parts = raw.split('&').filter(|part| !part.is_empty());
        let split = |part: &'r str| match part.split_once('=') {
            Some((name, value)) => (decoded_in_form(name), Some(value)),
            None => (decoded_in_form(part), None),
        };
        let all: Vec<_> = parts.take(MOST + 1).map(split).collect();
        Pairs { too_many: all.len() > MOST, all, decode: decoded_in_form }
    }

    pub(super) fn of_cookies(lines: impl Iterator<Item = &'r str>) -> Self {
        let parts = lines.flat_map(|line| line.split(';'));
        let pairs = parts.filter_map(|pair| pair.trim().split_once('='));
        let all: Vec<_> = pairs.take(MOST + 1).map(|(name, value)| (name.to_owned(), Some(value))).collect();
        Pairs { too_many: all.len() > MOST, all, decode: |raw| super::style::decoded(raw.trim_matches('"')) }
    }

    pub(super) fn names(&self) -> BTreeSet<&str> {
        self.all.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn values(&self, name: &str) -> Vec<&'r str> {
        let own = self.all.iter().filter(|(known, _)| known == name);
        own.map(|(_, value)| value.unwrap_or_default()).collect()
    }

    /// Whether it is there, and nothing stands behind it.
    pub(super) fn is_empty(&self, name: &str) -> bool {
        let values = self.values(name);
        !values.is_empty() && values.iter().all(|value| value.is_empty())
    }

    /// Its text, if it is there once.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.values(name).as_slice() {
            [one] => Some((self.decode)(one)),
            _ => None,
        }
    }

    /// A parameter of this style; none if it is not there.
    pub(super) fn value(&self, name: &str, style: Style, explode: bool, shape: &Shape) -> Option<Written> {
        if style == Style::DeepObject {
            return self.deep(name, shape);
        }
        if explode && shape.is_object() && !shape.is_array() {
            let own = self.all.iter().filter(|(name, _)| shape.has(name));
            let own: Vec<_> =
                own.map(|(name, raw)| (name.clone(), (self.decode)(raw.unwrap_or_default()))).collect();
            return (!own.is_empty()).then(|| Ok(shape.object(own.into_iter())));
        }
        let values = self.values(name);
        match values.as_slice() {
            [] => None,
            all if explode && shape.is_array() => {
                Some(Ok(shape.array(all.iter().map(|raw| (self.decode)(raw)))))
            }
            [one] => Some(style.in_pair(shape, one, self.decode)),
            _ => Some(Err("it is there more than once")),
        }
    }

    /// "name[key]=value", one level deep.
    fn deep(&self, name: &str, shape: &Shape) -> Option<Written> {
        let key = |pair: &str| {
            let key = pair.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?;
            let key = key.strip_suffix("][").unwrap_or(key);
            (!key.contains(['[', ']'])).then(|| key.to_owned())
        };
        let pairs = self.all.iter();
        let own = pairs.filter_map(|(pair, raw)| Some((key(pair)?, (self.decode)(raw.unwrap_or_default()))));
        let own: Vec<_> = own.collect();
        (!own.is_empty()).then(|| Ok(shape.object(own.into_iter())))
    }

    /// All of them, by the shape of an object.
    pub(super) fn object(
        &self,
        shape: &Shape,
        style_of: impl Fn(&str) -> Option<(Style, bool)>,
    ) -> Result<Value, String> {
        let mut object = Map::new();
        for name in self.names() {
            let whole = name.split_once('[').map_or(name, |(name, _)| name);
            let none = Shape::default();
            let (style, explode) = style_of(whole).unwrap_or((Style::Form, true));
            let name = if style == Style::DeepObject { whole } else { name };
            let shape = shape.property(name).unwrap_or(&none);
            if shape.is_object() && !shape.is_array() && style != Style::DeepObject {
                // In forms an object within is JSON, unless it is said otherwise.
                let text = self.text(name).ok_or_else(|| format!("`{name}` is there more than once"))?;
                let value =
                    serde_json::from_str(&text).map_err(|why| format!("`{name}` is not JSON: {why}"))?;
                object.insert(name.to_owned(), value);
                continue;
            }
            match self.value(name, style, explode, shape) {
                Some(Ok(value)) => drop(object.insert(name.to_owned(), value)),
                Some(Err(why)) => return Err(format!("`{name}`: {why}")),
                None => {}
            }
        }
        Ok(Value::Object(object))
    }
}
