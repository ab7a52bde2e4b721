//! What is wrong with a message, as its sender is told.

use std::fmt::{self, Write};

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};

use super::schema::Checker;
use super::shape::Shape;

/// How far mistakes of alternatives are looked into.
const DEPTH: usize = 4;
/// The longest text that is told of one, in bytes: a schema may be quoted in it.
const LONGEST: usize = 300;

/// One mistake.
pub(super) struct Violation {
    place: Place,
    /// A JSON Pointer into what is there.
    pointer: String,
    detail: String,
}

/// Which part of a message.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Path(String),
    Query(String),
    Header(String),
    Cookie(String),
    Body,
    Status,
}

/// All that are found, up to a number.
pub(super) struct Violations {
    list: Vec<Violation>,
    most: usize,
}

impl Violations {
    pub(super) fn new(most: usize) -> Self {
        Violations { list: Vec::new(), most }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn add(&mut self, place: &Place, detail: impl Into<String>) {
        self.add_at(place, String::new(), detail.into());
    }

    pub(super) fn add_at(&mut self, place: &Place, pointer: String, mut detail: String) {
        if self.list.len() >= self.most {
            return;
        }
        if detail.len() > LONGEST {
            detail.truncate(detail.floor_char_boundary(LONGEST));
            detail.push_str("...");
        }
        self.list.push(Violation { place: place.clone(), pointer, detail });
    }

    /// Checks a value. What the value is, is not told: it may be a secret, and whoever sent it knows.
    pub(super) fn check(&mut self, place: &Place, checker: &Checker<'_>, value: Value) {
        let wrapped = checker.wrap(value);
        if checker.is_valid(&wrapped) {
            return;
        }
        let Some(errors) = checker.errors(&wrapped) else {
            return self.add(place, "it is not as its schema says, and too large to tell where");
        };
        for error in errors {
            if self.list.len() >= self.most {
                return;
            }
            self.take(place, checker, &error, 0);
        }
    }

    /// As `check`, of a value that was read from text, and perhaps not as it was meant.
    pub(super) fn check_text(
        &mut self,
        place: &Place,
        checker: &Checker<'_>,
        shape: &Shape,
        value: Value,
        text: &str,
    ) {
        let is_other = shape.may_be_text() && !value.is_string() && !value.is_array() && !value.is_object();
        if is_other && checker.is_valid(&checker.wrap(Value::String(text.to_owned()))) {
            return;
        }
        self.check(place, checker, value);
    }

    fn take(&mut self, place: &Place, checker: &Checker<'_>, error: &ValidationError<'_>, depth: usize) {
        let branches = match error.kind() {
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                context
            }
            _ => return self.add_at(place, checker.pointer(error), error.masked().to_string()),
        };
        // The one that was meant is most likely the one whose mistakes lie deepest.
        let depth_of = |branch: &&Vec<ValidationError<'_>>| {
            let deepest =
                branch.iter().map(|error| error.instance_path().as_str().matches('/').count()).max();
            (deepest, std::cmp::Reverse(branch.len()))
        };
        let meant = branches.iter().filter(|branch| !is_of_another_type(branch, error)).max_by_key(depth_of);
        match meant {
            Some(meant) if depth < DEPTH => {
                meant.iter().for_each(|error| self.take(place, checker, error, depth + 1));
            }
            _ => self.add_at(place, checker.pointer(error), error.masked().to_string()),
        }
    }

    /// For the client: a member of the problem (RFC 9457, section 3.2).
    pub(super) fn told(&self) -> Value {
        self.list.iter().map(Violation::told).collect()
    }
}

/// Whether the value is not even of the type that this alternative is for.
fn is_of_another_type(branch: &[ValidationError<'_>], whole: &ValidationError<'_>) -> bool {
    let is_type = |error: &ValidationError<'_>| {
        matches!(error.kind(), ValidationErrorKind::Type { .. })
            && error.instance_path().as_str() == whole.instance_path().as_str()
    };
    branch.iter().any(is_type)
}

impl Violation {
    fn told(&self) -> Value {
        let (place, name) = self.place.parts();
        let mut told = Map::new();
        told.insert("in".into(), place.into());
        told.insert("detail".into(), self.detail.as_str().into());
        if let Some(name) = name {
            told.insert("name".into(), name.into());
        }
        if name.is_none() || !self.pointer.is_empty() {
            told.insert("pointer".into(), format!("#{}", self.pointer).into());
        }
        Value::Object(told)
    }
}

impl Place {
    fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Place::Path(name) => ("path", Some(name)),
            Place::Query(name) => ("query", Some(name)),
            Place::Header(name) => ("header", Some(name)),
            Place::Cookie(name) => ("cookie", Some(name)),
            Place::Body => ("body", None),
            Place::Status => ("status", None),
        }
    }
}

/// For the log: "query `limit`: ...; body /a/b: ...".
impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, Violation { place, pointer, detail }) in self.list.iter().enumerate() {
            let (place, name) = place.parts();
            f.write_str(if number == 0 { "" } else { "; " })?;
            f.write_str(place)?;
            if let Some(name) = name {
                write!(f, " `{name}`")?;
            }
            if !pointer.is_empty() {
                f.write_char(' ')?;
                f.write_str(pointer)?;
            }
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}
