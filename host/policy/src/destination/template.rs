//! Paths that are filled in from a request's.

use limen_config::{Piece, RoutePath, Segment};
use regex::bytes::Regex;

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
}

impl PathTemplate {
    /// `route` is what the paths match that it is filled in from.
    pub fn new(pieces: &[Piece], route: &RoutePath) -> Self {
        let parts = pieces.iter().map(|piece| match (piece, route) {
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

    /// What becomes of this path; or what the client reads, for parts of a good one may make a bad one.
    pub fn path(&self, path: &str) -> Result<String, &'static str> {
        let mut filled = String::with_capacity(path.len() + 32);
        self.fill(path, &mut filled);
        if filled.contains("/.") && filled.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err("The path has dot segments.");
        }
        Ok(filled)
    }

    /// Adds what becomes of this path. What it takes from it stays as it was sent: percent-encoded.
    pub fn fill(&self, path: &str, filled: &mut String) {
        let groups = self.regex.as_ref().and_then(|regex| regex.captures(path.as_bytes()));
        let segments = || path.strip_prefix('/').unwrap_or(path).split('/');
        let begin = filled.len();
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
            }
        }
        if !filled.get(begin..).unwrap_or_default().starts_with('/') {
            filled.insert(begin, '/');
        }
    }
}
