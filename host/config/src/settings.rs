//! `with`: the settings of a policy, which mean nothing to the gateway itself

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Number, Value as Json};
use toml::de::DeValue;

use crate::Place;
use crate::value::{Value, whole};

/// What stands under `with`, as JSON, and where each part of it stands in the file. Cheap to clone:
/// all that use a named policy share its settings.
///
/// Dates and times of TOML are strings here.
#[derive(Debug, Clone)]
pub struct Settings(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    value: Json,
    root: Place,
    /// By JSON Pointer.
    places: BTreeMap<String, Place>,
}

/// A table of data in `with` can be long; its further rows are found at the table itself.
const PLACES: usize = 4096;

impl Settings {
    /// An object; `{}` when there is no `with`.
    pub fn value(&self) -> &Json {
        &self.0.value
    }

    /// The place of the value at a JSON Pointer like "/users/0/name", or of the nearest value
    /// around it; at last of `with`, or of the attachment when it has none.
    pub fn place(&self, pointer: &str) -> &Place {
        let mut pointer = pointer;
        loop {
            if let Some(place) = self.0.places.get(pointer) {
                return place;
            }
            match pointer.rsplit_once('/') {
                Some((parent, _)) => pointer = parent,
                None => return &self.0.root,
            }
        }
    }

    pub(crate) fn none(place: Place) -> Settings {
        Settings(Arc::new(Inner { value: Json::Object(Map::new()), root: place, places: BTreeMap::new() }))
    }

    pub(crate) fn read(with: &Value<'_>) -> Option<Settings> {
        let DeValue::Table(_) = with.inner else {
            return with.wrong_type("a table with the policy's settings");
        };
        let mut places = BTreeMap::new();
        let value = placed(with, "", &mut places)?;
        Some(Settings(Arc::new(Inner { value, root: with.place(), places })))
    }
}

/// A value of the file as JSON.
pub(crate) fn json(value: &Value<'_>) -> Option<Json> {
    placed(value, "", &mut BTreeMap::new())
}

/// As deep as the parser lets it be, which is not deep.
fn placed(value: &Value<'_>, pointer: &str, places: &mut BTreeMap<String, Place>) -> Option<Json> {
    if !pointer.is_empty() && places.len() < PLACES {
        places.insert(pointer.to_owned(), value.place());
    }
    match value.inner {
        DeValue::String(_) => value.text("a string").map(Json::String),
        DeValue::Integer(integer) => match whole(integer) {
            Some(n) => Some(Json::from(n)),
            None => value.fail(
                value.error(format!("too large an integer: {integer}")).expected("an integer of 64 bits"),
            ),
        },
        DeValue::Float(float) => match float.as_str().parse().ok().and_then(Number::from_f64) {
            Some(n) => Some(Json::Number(n)),
            None => value.fail(
                value.error(format!("not a finite number: {float}")).expected("a number that JSON can have"),
            ),
        },
        DeValue::Boolean(answer) => Some(Json::Bool(*answer)),
        DeValue::Datetime(moment) => Some(Json::String(moment.to_string())),
        DeValue::Array(array) => {
            let items: Vec<Option<Json>> = (value.clone().items_of(array).enumerate())
                .map(|(n, item)| placed(&item, &format!("{pointer}/{n}"), places))
                .collect();
            items.into_iter().collect::<Option<Vec<_>>>().map(Json::Array)
        }
        DeValue::Table(_) => {
            let section = value.section()?;
            let entries: Vec<Option<(String, Json)>> = section
                .entries()
                .map(|(name, item)| {
                    let escaped = name.replace('~', "~0").replace('/', "~1");
                    Some((name.to_owned(), placed(&item, &format!("{pointer}/{escaped}"), places)?))
                })
                .collect();
            entries.into_iter().collect::<Option<Map<_, _>>>().map(Json::Object)
        }
    }
}
