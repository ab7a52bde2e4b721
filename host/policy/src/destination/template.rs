//! Paths that are filled in from a request's.

use limen_config::{Piece, RoutePath, Segment};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regex::bytes::Regex;

use super::Astray;
use crate::Exchange;
use crate::native::expression::{Expression, Stage, VALUES};

/// A path with holes.
pub struct PathTemplate {
    parts: Vec<Part>,
    /// What the groups are taken from.
    regex: Option<Regex>,
}

enum Part {
    Literal(Box<str>),
    /// The segment of this number, counted from 0.
    Segment(usize),
    Group(Box<str>),
    /// What follows this many segments, from its slash on.
    After(usize),
    Path,
    /// One value, that never begins a segment or a parameter of its own.
    Computed(Expression, Place),
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Path,
    Query,
}

/// All that is not unreserved in a URL (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl PathTemplate {
    /// `route` is what the paths match that it is filled in from.
    pub fn new(pieces: &[Piece], route: &RoutePath) -> Self {
        // The configuration has refused expressions.
        Self::with(pieces, route, |_, _| Part::Literal("".into()))
    }

    /// One that may have expressions in it.
    pub fn computed(pieces: &[Piece], route: &RoutePath) -> Result<Self, String> {
        let mut wrong = None;
        let template =
            Self::with(pieces, route, |text, place| match Expression::new(text, Stage::Request, VALUES) {
                Ok(expression) => Part::Computed(expression, place),
                Err(why) => {
                    wrong.get_or_insert(why);
                    Part::Literal("".into())
                }
            });
        wrong.map_or(Ok(template), Err)
    }

    fn with(pieces: &[Piece], route: &RoutePath, mut compute: impl FnMut(&str, Place) -> Part) -> Self {
        let mut place = Place::Path;
        let parts = pieces.iter().map(|piece| match (piece, route) {
            (Piece::Computed(text), _) => compute(text, place),
            (Piece::Literal(text), _) if text.contains('?') => {
                place = Place::Query;
                Part::Literal(text.as_str().into())
            }
            (Piece::Literal(text), _) => Part::Literal(text.as_str().into()),
            (Piece::Path, _) => Part::Path,
            (Piece::Rest, RoutePath::Pattern(pattern)) => Part::After(pattern.segments.len()),
            (Piece::Rest, RoutePath::Regex(_)) => Part::Literal("".into()), // `check` has refused it
            (Piece::Parameter(name), RoutePath::Regex(_)) => Part::Group(name.as_str().into()),
            (Piece::Parameter(name), RoutePath::Pattern(pattern)) => {
                let is_it = |segment: &Segment| matches!(segment, Segment::Parameter(it) if it == name);
                Part::Segment(pattern.segments.iter().position(is_it).unwrap_or(usize::MAX))
            }
        });
        let parts: Vec<Part> = parts.collect();
        let regex = match route {
            RoutePath::Regex(regex) if parts.iter().any(|part| matches!(part, Part::Group(_))) => {
                Some(regex.pattern.regex.clone())
            }
            _ => None,
        };
        PathTemplate { parts, regex }
    }

    /// What becomes of this path; parts of a good one may make a bad one.
    pub fn path(&self, exchange: &Exchange, path: &str) -> Result<String, Astray> {
        let mut filled = String::with_capacity(path.len() + 32);
        self.fill(exchange, path, &mut filled)?;
        if has_dot_segments(&filled) {
            return Err(Astray::DotSegments);
        }
        Ok(filled)
    }

    /// Adds what becomes of this path. What it takes from it stays as it was sent: percent-encoded.
    pub fn fill(&self, exchange: &Exchange, path: &str, filled: &mut String) -> Result<(), Astray> {
        let groups = self.regex.as_ref().and_then(|regex| regex.captures(path.as_bytes()));
        let segments = || path.strip_prefix('/').unwrap_or(path).split('/');
        let begin = filled.len();
        let mut is_computed = false;
        for part in &self.parts {
            match part {
                Part::Literal(text) => filled.push_str(text),
                Part::Segment(number) => filled.push_str(segments().nth(*number).unwrap_or_default()),
                Part::Group(name) => {
                    let group = groups.as_ref().and_then(|groups| groups.name(name));
                    filled.push_str(group.and_then(|group| path.get(group.range())).unwrap_or_default());
                }
                Part::After(count) => {
                    let before: usize = segments().take(*count).map(|segment| segment.len() + 1).sum();
                    filled.push_str(path.get(before..).unwrap_or_default());
                }
                Part::Path => filled.push_str(path),
                Part::Computed(expression, place) => {
                    is_computed = true;
                    let value = expression.told_text(exchange).map_err(Astray::Valueless)?;
                    // `/users//orders` is not `/users/{id}/orders`.
                    if value.is_empty() && *place == Place::Path {
                        let why = format!("`{}`: it is empty", expression.source());
                        return Err(Astray::Valueless(why));
                    }
                    filled.extend(utf8_percent_encode(&value, ENCODED));
                }
            }
        }
        if !filled.get(begin..).unwrap_or_default().starts_with('/') {
            filled.insert(begin, '/');
        }
        let path = filled.get(begin..).and_then(|filled| filled.split('?').next()).unwrap_or_default();
        if is_computed && has_dot_segments(path) {
            return Err(Astray::DotSegments);
        }
        Ok(())
    }
}

/// Whether a part of a path leads up, or nowhere.
fn has_dot_segments(path: &str) -> bool {
    path.contains("/.") && path.split('/').any(|segment| matches!(segment, "." | ".."))
}
