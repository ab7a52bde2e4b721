//! A value of the file and the ways to read one: each answers what it means, or reports why not.

use std::fs::File;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeArray, DeInteger, DeValue};

use crate::section::{Section, Sink};
use crate::source::{Source, io_phrase};
use crate::suggest::{did_you_mean, one_of};
use crate::units::{self, show_duration, show_size};
use crate::{ConfigError, Place, env};

/// A value, where it stands, and where to report what is wrong with it.
#[derive(Debug, Clone)]
pub(crate) struct Value<'a> {
    pub(crate) inner: &'a DeValue<'a>,
    pub(crate) span: Range<usize>,
    /// The path of keys that leads here.
    pub(crate) key: String,
    pub(crate) source: &'a Source,
    pub(crate) sink: &'a Sink,
}

impl<'a> Value<'a> {
    pub(crate) fn place(&self) -> Place {
        self.source.place(self.span.clone(), &self.key)
    }

    pub(crate) fn error(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::new(self.place(), message)
    }

    pub(crate) fn fail<T>(&self, error: ConfigError) -> Option<T> {
        self.sink.push(error);
        None
    }

    pub(crate) fn wrong_type<T>(&self, expected: &str) -> Option<T> {
        let hint = match self.inner {
            DeValue::String(text) if expected.starts_with("an array") => {
                Some(format!("in brackets: [{text:?}]"))
            }
            DeValue::String(text) if expected.starts_with("an integer") && text.parse::<i64>().is_ok() => {
                Some(format!("without quotes: {text}"))
            }
            DeValue::String(text) if text == "true" || text == "false" => {
                Some(format!("without quotes: {text}"))
            }
            DeValue::Table(_) if expected.starts_with("an array") => {
                Some("in brackets: [{ ... }]".to_owned())
            }
            _ => None,
        };
        let error = self.error(format!("wrong type: found {}", self.type_name()));
        self.fail(error.expected(expected).maybe_hint(hint))
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.inner {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        }
    }

    /// The text of a string, its environment variables put in.
    pub(crate) fn text(&self, expected: &str) -> Option<String> {
        match self.inner {
            DeValue::String(text) => match env::expand(text) {
                Ok(text) => Some(text),
                Err(wrong) => self.fail(self.error(wrong.message).hint(wrong.hint)),
            },
            _ => self.wrong_type(expected),
        }
    }

    /// Whether it is this string, as it stands in the file.
    pub(crate) fn is_text(&self, text: &str) -> bool {
        matches!(self.inner, DeValue::String(written) if written == text)
    }

    pub(crate) fn section(&self) -> Option<Section<'a>> {
        match self.inner {
            DeValue::Table(table) => Some(Section::of(table, self)),
            _ => self.wrong_type("a table"),
        }
    }

    /// An empty table in its place.
    pub(crate) fn emptied(&self) -> Option<Section<'a>> {
        Value { inner: self.sink.empty(), ..self.clone() }.section()
    }

    pub(crate) fn items(&self, expected: &str) -> Option<impl Iterator<Item = Value<'a>>> {
        match self.inner {
            DeValue::Array(array) => Some(self.clone().items_of(array)),
            _ => self.wrong_type(expected),
        }
    }

    pub(crate) fn items_of(self, array: &'a DeArray<'a>) -> impl Iterator<Item = Value<'a>> {
        array.iter().enumerate().map(move |(n, item)| Value {
            inner: item.get_ref(),
            span: item.span(),
            key: format!("{}[{n}]", self.key),
            source: self.source,
            sink: self.sink,
        })
    }
}

pub(crate) fn string(value: &Value<'_>) -> Option<String> {
    value.text("a string")
}

pub(crate) fn boolean(value: &Value<'_>) -> Option<bool> {
    match value.inner {
        DeValue::Boolean(answer) => Some(*answer),
        _ => value.wrong_type("`true` or `false`"),
    }
}

pub(crate) fn whole(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// An integer within a range.
pub(crate) fn integer<'a>(range: RangeInclusive<usize>) -> impl Fn(&Value<'a>) -> Option<usize> {
    move |value| {
        let expected = format!("an integer from {} to {}", range.start(), range.end());
        let DeValue::Integer(integer) = value.inner else { return value.wrong_type(&expected) };
        match whole(integer).and_then(|n| usize::try_from(n).ok()).filter(|n| range.contains(n)) {
            Some(n) => Some(n),
            None => value.fail(value.error(format!("out of range: {integer}")).expected(expected)),
        }
    }
}

/// A share of a whole, 0 to 1.
pub(crate) fn share(value: &Value<'_>) -> Option<f64> {
    const EXPECTED: &str = "a share from 0 to 1, like 0.1";
    let number = match value.inner {
        DeValue::Float(float) => float.as_str().parse().ok(),
        DeValue::Integer(integer) => whole(integer).map(|n| n as f64),
        _ => return value.wrong_type(EXPECTED),
    };
    match number.filter(|share| (0.0..=1.0).contains(share)) {
        Some(share) => Some(share),
        None => value.fail(value.error("out of range").expected(EXPECTED)),
    }
}

/// One of a few words.
pub(crate) fn choice<'a, T: Clone>(
    choices: &'static [(&'static str, T)],
) -> impl Fn(&Value<'a>) -> Option<T> {
    move |value| {
        let names = || choices.iter().map(|(name, _)| *name);
        let expected = one_of(names());
        let written = value.text(&expected)?;
        match choices.iter().find(|(name, _)| *name == written) {
            Some((_, chosen)) => Some(chosen.clone()),
            None => {
                let error = value.error(format!("unknown value `{written}`")).expected(expected);
                value.fail(error.maybe_hint(did_you_mean(&written, names())))
            }
        }
    }
}

/// A duration within a range, as a string with a unit.
pub(crate) fn duration<'a>(range: RangeInclusive<Duration>) -> impl Fn(&Value<'a>) -> Option<Duration> {
    move |value| {
        let (from, to) = (show_duration(*range.start()), show_duration(*range.end()));
        let expected =
            format!("a duration from {from} to {to}, like \"250us\", \"5ms\", \"1.5s\", \"2m\" or \"1h\"");
        if let DeValue::Integer(n) = value.inner {
            let error = value.error(format!("a duration without a unit: {n}")).expected(expected);
            return value.fail(error.hint(format!("did you mean \"{n}s\"?")));
        }
        let text = value.text(&expected)?;
        match units::duration(&text) {
            Ok(duration) if range.contains(&duration) => Some(duration),
            Ok(_) => value.fail(value.error(format!("out of range: {text}")).expected(expected)),
            Err(wrong) => value.fail(value.error(wrong.message).expected(expected).maybe_hint(wrong.hint)),
        }
    }
}

/// A size in bytes within a range, as a string with a unit or a plain integer.
pub(crate) fn size<'a>(range: RangeInclusive<u64>) -> impl Fn(&Value<'a>) -> Option<u64> {
    move |value| {
        let (from, to) = (show_size(*range.start()), show_size(*range.end()));
        let expected = format!("a size from {from} to {to}, like \"64KiB\", \"16MiB\" or 512 for bytes");
        let text = match value.inner {
            DeValue::Integer(n) => whole(n).map_or_else(|| n.to_string(), |n| n.to_string()),
            _ => value.text(&expected)?,
        };
        match units::size(&text) {
            Ok(size) if range.contains(&size) => Some(size),
            Ok(_) => value.fail(value.error(format!("out of range: {text}")).expected(expected)),
            Err(wrong) => value.fail(value.error(wrong.message).expected(expected).maybe_hint(wrong.hint)),
        }
    }
}

/// An array, read item by item; a mistake in one does not hide those in others.
pub(crate) fn list<'a, T>(read: impl Fn(&Value<'a>) -> Option<T>) -> impl Fn(&Value<'a>) -> Option<Vec<T>> {
    move |value| {
        let items: Vec<Option<T>> = value.items("an array")?.map(|item| read(&item)).collect();
        items.into_iter().collect()
    }
}

/// An array with at least one item.
pub(crate) fn some<'a, T>(read: impl Fn(&Value<'a>) -> Option<T>) -> impl Fn(&Value<'a>) -> Option<Vec<T>> {
    let read = list(read);
    move |value| {
        let items = read(value)?;
        if items.is_empty() {
            return value.fail(value.error("an empty array").expected("at least one item"));
        }
        Some(items)
    }
}

/// A table that is a section of its own.
pub(crate) fn table<'a, T>(read: impl Fn(&Section<'a>) -> Option<T>) -> impl Fn(&Value<'a>) -> Option<T> {
    move |value| read(&value.section()?)
}

/// The name of something: 1 to 128 bytes, no control characters.
pub(crate) fn name(value: &Value<'_>) -> Option<String> {
    let name = value.text("a name, in quotes")?;
    check_name(&name, value)?;
    Some(name)
}

pub(crate) fn check_name(name: &str, value: &Value<'_>) -> Option<()> {
    let Some(wrong) = wrong_name(name) else { return Some(()) };
    value.fail(value.error(wrong).expected(format!("1 to {LONGEST_NAME} bytes without control characters")))
}

/// What is wrong with a name, if anything is.
pub(crate) fn wrong_name(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("an empty name"),
        name if name.len() > LONGEST_NAME => Some("too long a name"),
        name if name.chars().any(char::is_control) => Some("a name with a control character"),
        name if name.starts_with("builtin:") => Some("a name that means a built-in policy"),
        _ => None,
    }
}

const LONGEST_NAME: usize = 128;

/// A file that exists and can be read, its path relative to the file that names it.
pub(crate) fn readable_file(value: &Value<'_>) -> Option<PathBuf> {
    let (path, unreadable) = file(value)?;
    match unreadable {
        None => Some(path),
        Some(error) => value.fail(error),
    }
}

/// A file that whoever opens it will report as well: that it can't be read is told beside other
/// mistakes, and is none alone.
pub(crate) fn file_to_be_opened(value: &Value<'_>) -> Option<PathBuf> {
    let (path, unreadable) = file(value)?;
    if let Some(error) = unreadable {
        value.sink.push_aside(error);
    }
    Some(path)
}

/// A path relative to the file that names it, whatever is there.
pub(crate) fn path(value: &Value<'_>, expected: &str) -> Option<PathBuf> {
    let text = value.text(expected)?;
    if text.is_empty() || text.contains('\0') {
        return value.fail(value.error("not a path").expected(expected));
    }
    Some(value.source.folder().join(text))
}

/// The path of a file, and what is wrong with the file.
fn file(value: &Value<'_>) -> Option<(PathBuf, Option<ConfigError>)> {
    const EXPECTED: &str = "the path of a readable file, relative to the file that names it";
    let path = path(value, EXPECTED)?;
    // Asked before it is opened: opening a pipe would wait for someone to write.
    let opened = std::fs::metadata(&path).and_then(|found| match found.is_file() {
        true => File::open(&path).map(|_| ()),
        false if found.is_dir() => Err(std::io::ErrorKind::IsADirectory.into()),
        false => Err(std::io::Error::other("it is not a regular file")),
    });
    let unreadable = opened.err().map(|why| {
        let message = format!("cannot read `{}`: {}", path.display(), io_phrase(&why));
        value.error(message).expected(EXPECTED).unreadable(&path)
    });
    Some((path, unreadable))
}
