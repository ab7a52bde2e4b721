//! Paths as a tree of segments.
//!
//! A find goes down the most specific way first (literal, then regular expression, then parameter,
//! then `**`) and comes back up for the next when no route there is acceptable: a route with
//! conditions does not hide a less specific one. Each node is visited once at most.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use limen_config::{PathPattern, PathRegex, Pattern, RoutePath, Segment};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::table::{Candidate, Visit};

#[derive(Default)]
pub struct Tree {
    literal: HashMap<Box<str>, Tree, Names>,
    regexes: Option<Box<Regexes>>,
    parameter: Option<Box<Tree>>,
    /// Routes that end here, best first.
    here: Vec<Candidate>,
    /// Routes that end here with `**`, best first.
    below: Vec<Candidate>,
}

/// The regular expressions whose plain text ends within the segment after a node, by that part of it.
#[derive(Default)]
struct Regexes {
    by_beginning: HashMap<Box<str>, Vec<(Pattern, Candidate)>, Names>,
    /// How long the beginnings are, longest first.
    lengths: Vec<usize>,
}

impl Tree {
    /// Of candidates with the same path, those that are inserted first go first.
    pub fn insert(&mut self, path: &RoutePath, candidate: Candidate) {
        match path {
            RoutePath::Pattern(pattern) => self.insert_pattern(pattern, candidate),
            RoutePath::Regex(regex) => self.insert_regex(regex, candidate),
        }
    }

    fn insert_pattern(&mut self, pattern: &PathPattern, candidate: Candidate) {
        let node = pattern.segments.iter().fold(self, |node, segment| match segment {
            Segment::Literal(text) => node.literal.entry(text.as_str().into()).or_default(),
            Segment::Parameter(_) => node.parameter.get_or_insert_default(),
        });
        if pattern.rest { &mut node.below } else { &mut node.here }.push(candidate);
    }

    fn insert_regex(&mut self, regex: &PathRegex, candidate: Candidate) {
        let begins = regex.pattern.literal_prefix();
        let begins = begins.strip_prefix('/').unwrap_or(&begins);
        let (segments, beginning) = match begins.rsplit_once('/') {
            Some((segments, beginning)) => (Some(segments), beginning),
            None => (None, begins),
        };
        let node = segments
            .into_iter()
            .flat_map(|segments| segments.split('/'))
            .fold(self, |node, segment| node.literal.entry(segment.into()).or_default());
        let regexes = node.regexes.get_or_insert_default();
        if !regexes.lengths.contains(&beginning.len()) {
            regexes.lengths.push(beginning.len());
            regexes.lengths.sort_unstable_by(|a, b| b.cmp(a));
        }
        regexes.by_beginning.entry(beginning.into()).or_default().push((regex.pattern.clone(), candidate));
    }

    /// The first route that the visitor takes, most specific first.
    pub fn find(&self, path: &str, visit: &mut impl Visit) -> Option<usize> {
        self.walk(path, Some(path.strip_prefix('/').unwrap_or(path)), visit)
    }

    /// `rest` is what comes after the slash behind this node's segments, if there is one.
    fn walk(&self, path: &str, rest: Option<&str>, visit: &mut impl Visit) -> Option<usize> {
        visit.node();
        let deeper = match rest {
            None => first(&self.here, visit),
            Some(rest) => self.deeper(path, rest, visit),
        };
        deeper.or_else(|| first(&self.below, visit))
    }

    fn deeper(&self, path: &str, rest: &str, visit: &mut impl Visit) -> Option<usize> {
        let (segment, after) = match rest.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        if let Some(literal) = self.literal.get(segment)
            && let Some(found) = literal.walk(path, after, visit)
        {
            return Some(found);
        }
        if let Some(regexes) = &self.regexes
            && let Some(found) = regexes.find(path, rest, visit)
        {
            return Some(found);
        }
        match &self.parameter {
            Some(parameter) if !segment.is_empty() => parameter.walk(path, after, visit),
            _ => None,
        }
    }
}

impl Regexes {
    fn find(&self, path: &str, rest: &str, visit: &mut impl Visit) -> Option<usize> {
        let beginnings = self.lengths.iter().filter_map(|length| rest.get(..*length));
        let near = beginnings.filter_map(|beginning| self.by_beginning.get(beginning)).flatten();
        for (pattern, candidate) in near {
            visit.regex();
            if pattern.matches(path.as_bytes()) && visit.takes(candidate) {
                return Some(candidate.route);
            }
        }
        None
    }
}

fn first(candidates: &[Candidate], visit: &mut impl Visit) -> Option<usize> {
    candidates.iter().find(|candidate| visit.takes(candidate)).map(|candidate| candidate.route)
}

/// Hashes names that the operator wrote: what clients send is only looked up, and can't make two of
/// them meet, so that a quick hash will do.
#[derive(Clone, Copy, Default)]
pub struct Names;

pub struct NameHasher(u64);

impl BuildHasher for Names {
    type Hasher = NameHasher;

    fn build_hasher(&self) -> NameHasher {
        NameHasher(0)
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The end of a text: there is nothing after it to be told apart from.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        self.0
    }
}
