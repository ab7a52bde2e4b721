//! Schemas of a document, compiled: all that are needed become one resource of JSON Schema 2020-12, with a
//! definition for each place that a `$ref` leads to.

mod checker;
mod discriminator;
mod formats;
mod rewrite;

use std::collections::HashMap;

use jsonschema::{Draft, PatternOptions, ReferencingError, Registry, Validator};
use serde_json::{Map, Value, json};

pub(in crate::native::openapi) use checker::Checker;

use crate::native::description::{Files, Spot, Version, Wrong};

/// Where all of them are, for one another.
const HOME: &str = "limen:///schemas";

/// Which way a message goes: what is only read is not sent, and the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::native::openapi) enum Way {
    Request,
    Response,
}

/// A schema that is compiled, as an index into [`Validators`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::native::openapi) struct Schema(usize);

/// What was asked for of a document's schemas. They are compiled as one, that of an object with a property for
/// each of them: what they refer to is there once.
pub(in crate::native::openapi) struct Validators {
    whole: Validator,
    /// The property of each, and how its alternatives multiply.
    each: HashMap<usize, (String, u64)>,
}

/// How schemas are understood.
#[derive(Clone, Copy)]
pub(in crate::native::openapi) struct Reading {
    pub(in crate::native::openapi) version: Version,
    /// Whether `format` is checked.
    pub(in crate::native::openapi) formats: bool,
    /// Whether what is `readOnly` may be sent, and what is `writeOnly` answered.
    pub(in crate::native::openapi) lenient: bool,
}

/// Schemas on their way to being compiled.
pub(in crate::native::openapi) struct Schemas<'d> {
    files: &'d Files,
    reading: Reading,
    /// Where each definition comes from.
    spots: Vec<(Way, Spot)>,
    known: HashMap<(Way, Spot), usize>,
    wanted: Vec<usize>,
}

impl<'d> Schemas<'d> {
    pub(in crate::native::openapi) fn new(files: &'d Files, reading: Reading) -> Self {
        Schemas { files, reading, spots: Vec::new(), known: HashMap::new(), wanted: Vec::new() }
    }

    /// One to check with.
    pub(in crate::native::openapi) fn want(&mut self, way: Way, spot: &Spot) -> Schema {
        let number = self.define(way, spot.clone());
        if !self.wanted.contains(&number) {
            self.wanted.push(number);
        }
        Schema(number)
    }

    /// A schema that is nothing but a reference to itself, be it through others, would let everything pass.
    fn lead_somewhere(&self, definitions: &Map<String, Value>) -> Result<(), Wrong> {
        let next = |number: usize| {
            let link = definitions.get(&number.to_string())?.get("$ref")?.as_str()?;
            let number = link.rsplit('/').next()?.parse().ok()?;
            (link == reference(number)).then_some(number)
        };
        for (number, (_, spot)) in self.spots.iter().enumerate() {
            let mut hops = std::iter::successors(Some(number), |number| next(*number));
            if hops.nth(self.spots.len()).is_some() {
                return Err(spot.is_wrong("its references lead in a circle, and to no schema"));
            }
        }
        Ok(())
    }

    fn define(&mut self, way: Way, spot: Spot) -> usize {
        // A resource of its own is the same both ways: its name is there once.
        let has_id = self.files.get(&spot).is_some_and(|schema| schema.get("$id").is_some());
        let way = if has_id { Way::Request } else { way };
        let next = self.spots.len();
        *self.known.entry((way, spot)).or_insert_with_key(|key| {
            self.spots.push(key.clone());
            next
        })
    }

    pub(in crate::native::openapi) fn compile(mut self) -> Result<Validators, Wrong> {
        let mut definitions = Map::new();
        let meta = jsonschema::draft202012::meta::validator();
        let mut next = 0;
        // Rewriting one may define more.
        while let Some((way, spot)) = self.spots.get(next).cloned() {
            let rewritten = match self.files.get(&spot) {
                Some(schema) => self.rewrite(way, &spot, schema)?,
                None => return Err(spot.is_wrong("there is no schema")),
            };
            if let Some(error) = meta.iter_errors(&rewritten).next() {
                let at = spot.below(error.instance_path().as_str());
                return Err(at.is_wrong(format!("not a good schema: {error}")));
            }
            definitions.insert(next.to_string(), rewritten);
            next += 1;
        }
        self.lead_somewhere(&definitions)?;
        let home = json!({ "$defs": &definitions });
        let registry = registry(&home).map_err(|error| self.not_there(&definitions, &error))?;
        let options = formats::ours(jsonschema::options())
            .with_draft(Draft::Draft202012)
            .with_registry(&registry)
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(self.reading.formats);
        let properties =
            self.wanted.iter().map(|number| (number.to_string(), json!({ "$ref": reference(*number) })));
        let properties: Map<_, _> = properties.collect();
        // By its name at once, and not by looking for each of them.
        let whole = json!({ "properties": properties, "additionalProperties": false });
        let whole = options.build(&whole).map_err(|error| self.at_fault(&error))?;
        let each = self.wanted.iter().map(|number| {
            let name = number.to_string();
            let alternatives = checker::alternatives(&name, &definitions);
            (*number, (name, alternatives))
        });
        Ok(Validators { whole, each: each.collect() })
    }

    /// Which schema it is that refers to something that the document does not have.
    fn not_there(&self, definitions: &Map<String, Value>, error: &ReferencingError) -> Wrong {
        let is_at_fault = |number: &usize| {
            let schema = definitions.get(&number.to_string()).unwrap_or(&Value::Null);
            registry(&json!({ "$defs": { "0": schema } })).is_err()
        };
        let spot = (0..self.spots.len()).find(is_at_fault).and_then(|number| self.spots.get(number));
        let spot = spot.map_or_else(Spot::root, |(_, spot)| spot.clone());
        spot.is_wrong(format!(
            "a reference by a URI that no schema has as its `$id`; nothing is fetched: {error}"
        ))
    }

    /// Where in the document it is that a schema can't be compiled.
    fn at_fault(&self, error: &jsonschema::ValidationError<'_>) -> Wrong {
        // The mistake is behind references, and only its way is known: the last definition on it.
        let way = format!("{}{}", error.schema_path(), error.instance_path());
        let (number, pointer) = match way.rsplit_once("/$defs/") {
            Some((_, rest)) => {
                let (number, pointer) = rest.split_once('/').unwrap_or((rest, ""));
                (number.parse().ok(), format!("/{pointer}"))
            }
            None => (None, String::new()),
        };
        let spot =
            number.and_then(|number: usize| self.spots.get(number)).map(|(_, spot)| spot.below(&pointer));
        let hint = match error.to_string() {
            text if text.contains("regex") => {
                "; patterns have neither look-around nor back-references here, so that they take linear time"
            }
            _ => "",
        };
        spot.unwrap_or_else(Spot::root).is_wrong(format!("a schema that can't be compiled: {error}{hint}"))
    }
}

fn registry(home: &Value) -> Result<Registry<'_>, ReferencingError> {
    Registry::new().draft(Draft::Draft202012).add(HOME, home)?.prepare()
}

fn reference(number: usize) -> String {
    format!("{HOME}#/$defs/{number}")
}

impl Validators {
    pub(in crate::native::openapi) fn get(&self, schema: Schema) -> Option<Checker<'_>> {
        let (name, alternatives) = self.each.get(&schema.0)?;
        Some(Checker::new(&self.whole, name, *alternatives))
    }
}
