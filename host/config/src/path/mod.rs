//! `path` of a route

mod pattern;
mod regex;

use std::fmt;

use toml::de::DeValue;

use crate::value::Value;

pub use pattern::{PathPattern, Segment};
pub use regex::PathRegex;

/// `path`: which paths a route answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoutePath {
    /// `"/v1/users/{id}"`, `"/v1/**"`: segments, as plain text or parameters, and perhaps all below.
    Pattern(PathPattern),
    /// `{ regex = "..." }`: a regular expression.
    Regex(PathRegex),
}

impl RoutePath {
    /// A pattern like "/v1/{id}/**".
    pub fn pattern(text: &str) -> Result<RoutePath, String> {
        PathPattern::parse(text).map(RoutePath::Pattern)
    }

    /// A regular expression that matches the whole path.
    pub fn regex(text: &str) -> Result<RoutePath, String> {
        PathRegex::parse(text).map(RoutePath::Regex)
    }

    /// Whether it matches this path, in the form that the gateway brings paths into.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            RoutePath::Pattern(pattern) => pattern.matches(path),
            RoutePath::Regex(regex) => regex.pattern.matches(path.as_bytes()),
        }
    }

    /// "/**"
    pub(crate) fn everything() -> RoutePath {
        RoutePath::Pattern(PathPattern::everything())
    }

    pub(crate) fn read(value: &Value<'_>) -> Option<RoutePath> {
        match value.inner {
            DeValue::Table(_) => PathRegex::read(&value.section()?).map(RoutePath::Regex),
            _ => PathPattern::read(value).map(RoutePath::Pattern),
        }
    }

    /// The names that stand for a part of the path.
    pub(crate) fn parameters(&self) -> Vec<&str> {
        match self {
            RoutePath::Pattern(pattern) => pattern.parameters().collect(),
            RoutePath::Regex(regex) => regex.pattern.names().collect(),
        }
    }

    /// Whether it ends in "/**".
    pub(crate) fn has_rest(&self) -> bool {
        matches!(self, RoutePath::Pattern(pattern) if pattern.rest)
    }

    /// The same for two paths that match exactly the same, whatever their parameters are called.
    pub(crate) fn shape(&self) -> String {
        match self {
            RoutePath::Pattern(pattern) => pattern.shape(),
            RoutePath::Regex(regex) => format!("~{}", regex.pattern.text),
        }
    }
}

impl fmt::Display for RoutePath {
    /// A regular expression with `~` before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoutePath::Pattern(pattern) => pattern.fmt(f),
            RoutePath::Regex(regex) => write!(f, "~{}", regex.pattern.text),
        }
    }
}
