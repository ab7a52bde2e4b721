//! What a user reads when something is wrong.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use crate::Place;

/// One mistake: where it is, what is wrong, what was expected, and what may help.
#[derive(Debug, Clone)]
pub struct ConfigError {
    pub place: Place,
    /// A lowercase phrase: "unknown key `metods`".
    pub message: String,
    /// What would be right: "one of `name`, `methods`".
    pub expected: Option<String>,
    /// What the user may want to do: "did you mean `methods`?".
    pub hint: Option<String>,
    /// The file that could not be read, if that is the mistake: it may appear.
    pub unreadable: Option<PathBuf>,
    /// It may be none in a moment, with nothing changed here: somebody else did not answer.
    pub may_pass: bool,
}

impl ConfigError {
    pub fn new(place: Place, message: impl Into<String>) -> ConfigError {
        ConfigError {
            place,
            message: message.into(),
            expected: None,
            hint: None,
            unreadable: None,
            may_pass: false,
        }
    }

    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> ConfigError {
        self.expected = Some(expected.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> ConfigError {
        self.hint = Some(hint.into());
        self
    }

    /// A mistake that may be none once this file can be read.
    #[must_use]
    pub fn unreadable(mut self, file: impl Into<PathBuf>) -> ConfigError {
        self.unreadable = Some(file.into());
        self
    }

    /// A mistake that may be none in a moment.
    #[must_use]
    pub fn passing(mut self) -> ConfigError {
        self.may_pass = true;
        self
    }

    /// For hints that there may not be.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> ConfigError {
        self.hint = hint.or(self.hint);
        self
    }
}

impl fmt::Display for ConfigError {
    /// The error with its source line, several lines of plain text without a newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = Level::ERROR.primary_title(visible(&self.message, 1_000));
        let path = visible(&self.place.file.display().to_string(), 500);
        let line = self.place.line_text().filter(|(line, _)| line.len() <= LONGEST_LINE);
        let mut group = match (line, self.place.line, self.place.column) {
            (Some((line, span)), number, _) => title.element(
                Snippet::source(line)
                    .line_start(number as usize)
                    .path(path)
                    .annotation(AnnotationKind::Primary.span(span)),
            ),
            (None, 0, _) => title.element(Origin::path(path)),
            (None, line, column) => {
                title.element(Origin::path(path).line(line as usize).char_column(column as usize))
            }
        };
        let key = Some(&self.place.key).filter(|key| !key.is_empty());
        for (name, text) in [("key", key), ("expected", self.expected.as_ref()), ("hint", self.hint.as_ref())]
        {
            if let Some(text) = text {
                group = group.element(Level::NOTE.with_name(name).message(visible(text, 500)));
            }
        }
        f.write_str(&Renderer::plain().render(&[group]))
    }
}

impl std::error::Error for ConfigError {}

/// A longer line is generated, and not shown; its place is.
const LONGEST_LINE: usize = 4096;

/// What a file says must neither reach a terminal as a command nor fill it.
fn visible(text: &str, longest: usize) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    let mut shown: String = text.chars().take(longest).map(escaped).collect();
    if text.chars().nth(longest).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Every mistake found in one run. Shown in the order of the files and their lines, ending with
/// how many there are.
#[derive(Debug, Clone, Default)]
pub struct Errors(Vec<ConfigError>);

/// More than this many at once help nobody; the rest is counted.
const SHOWN: usize = 500;

impl Errors {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }

    pub fn push(&mut self, error: ConfigError) {
        self.extend([error]);
    }
}

impl Extend<ConfigError> for Errors {
    /// Keeps the order of the files and their lines. The same words about the same place are one
    /// mistake: a named policy is checked once for each route that uses it.
    fn extend<I: IntoIterator<Item = ConfigError>>(&mut self, iter: I) {
        self.0.extend(iter);
        self.0.sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.message.cmp(&b.message)));
        self.0.dedup_by(|a, b| order(a) == order(b) && a.place.key == b.place.key && a.message == b.message);
    }
}

fn order(error: &ConfigError) -> (usize, &std::path::Path, u32, u32) {
    (error.place.order, &error.place.file, error.place.line, error.place.column)
}

impl FromIterator<ConfigError> for Errors {
    fn from_iter<I: IntoIterator<Item = ConfigError>>(iter: I) -> Errors {
        let mut errors = Errors::default();
        errors.extend(iter);
        errors
    }
}

impl IntoIterator for Errors {
    type Item = ConfigError;
    type IntoIter = std::vec::IntoIter<ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in self.0.iter().take(SHOWN) {
            write!(f, "{error}\n\n")?;
        }
        if self.0.len() > SHOWN {
            write!(f, "... and {} more\n\n", self.0.len() - SHOWN)?;
        }
        let files: BTreeSet<_> = self.0.iter().map(|error| &error.place.file).collect();
        write!(f, "{} in {}", count(self.0.len(), "error"), count(files.len(), "file"))
    }
}

impl std::error::Error for Errors {}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
