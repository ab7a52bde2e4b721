//! Cases that a policy is tested with, from text to checked values: what `limen policy test` plays.
//!
//! A file of cases says of a configuration what a test needs to differ: the plugin's keys, its settings,
//! secrets and stores. Each case becomes a [`Config`] of its own, with one route and one policy on it, and
//! the gateway does with that what it does with any other.

mod case;
mod file;

mod answer;
mod content;
mod request;

mod expect;
mod message;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use answer::Answer;
pub use case::{Case, Step};
pub use content::Content;
pub use expect::{Asked, Expect, Request};
pub use message::{HeaderMatch, Message};
pub use request::{Ask, ConsumerText};
pub use text::TextMatch;

use crate::section::Section;
use crate::value::Value;
use crate::{Config, Errors, Place};

/// The upstream of the route that a case is played on.
pub const ORIGIN: &str = "origin";

/// A file of cases.
#[derive(Debug)]
pub struct Suite {
    pub file: PathBuf,
    /// In their order; at least one.
    pub cases: Vec<Played>,
}

/// A case, and the configuration that it is played on. Where its upstreams are is not settled yet.
#[derive(Debug)]
pub struct Played {
    pub case: Case,
    pub config: Config,
}

/// What the cases are of, and which words there are for what it does.
#[derive(Clone, Copy, Debug)]
pub struct UnderTest<'a> {
    /// What the plugin is called.
    pub name: &'a str,
    pub component: &'a Path,
    /// The names of phases.
    pub phases: &'a [&'static str],
    /// What can become of a hook.
    pub outcomes: &'a [&'static str],
    /// In what ways a policy can fail.
    pub failures: &'a [&'static str],
}

/// What upstreams answer when the policy calls them, by their name.
pub type Fetched = BTreeMap<String, Vec<Answer>>;

/// Something that is expected, and where that is written.
#[derive(Debug, Clone)]
pub struct At<T> {
    pub place: Place,
    pub value: T,
}

impl Suite {
    /// Reads and checks a file of cases; the errors are all mistakes found.
    pub fn load(path: impl AsRef<Path>, under_test: &UnderTest<'_>) -> Result<Suite, Errors> {
        file::load(path.as_ref(), under_test)
    }
}

/// Reads something, and notes where it is written.
fn at<'a, T>(read: impl Fn(&Value<'a>) -> Option<T>) -> impl Fn(&Value<'a>) -> Option<At<T>> {
    move |value| Some(At { place: value.place(), value: read(value)? })
}

/// A table with names of the author's own.
fn entries<'a, T>(
    section: &Section<'a>,
    key: &'static str,
    read: impl Fn(&str, &Value<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(value) = section.get(key) else { return Some(Vec::new()) };
    let table = value.section()?;
    let items: Vec<_> = table.entries().map(|(name, item)| read(name, &item)).collect();
    items.into_iter().collect()
}

/// One word of a list that somebody else has.
fn word<'a>(words: &'a [&'static str]) -> impl Fn(&Value<'_>) -> Option<&'static str> + 'a {
    move |value| {
        let expected = crate::suggest::one_of(words.iter().copied());
        let written = value.text(&expected)?;
        match words.iter().find(|word| **word == written) {
            Some(word) => Some(*word),
            None => {
                let error = value.error(format!("unknown value `{written}`")).expected(expected);
                value.fail(error.maybe_hint(crate::did_you_mean(&written, words.iter().copied())))
            }
        }
    }
}
