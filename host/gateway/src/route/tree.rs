//! Path patterns as a tree of segments.
//!
//! A find goes down the most specific way first (literal, then parameter, then `**`) and comes back
//! up for the next when no route there is acceptable: a route with conditions does not hide a less
//! specific one. Each node is visited once at most.

use std::collections::HashMap;

use limen_config::{PathPattern, Segment};

#[derive(Default)]
pub struct Tree {
    literal: HashMap<Box<str>, Tree>,
    parameter: Option<Box<Tree>>,
    /// Routes that end here, best first.
    here: Vec<usize>,
    /// Routes that end here with `**`, best first.
    below: Vec<usize>,
}

impl Tree {
    pub fn insert(&mut self, pattern: &PathPattern, route: usize) {
        let node = pattern.segments.iter().fold(self, |node, segment| match segment {
            Segment::Literal(text) => node.literal.entry(text.as_str().into()).or_default(),
            Segment::Parameter(_) => node.parameter.get_or_insert_default(),
        });
        if pattern.rest { &mut node.below } else { &mut node.here }.push(route);
    }

    /// The first acceptable route, most specific first.
    pub fn find(&self, path: &str, accept: &mut impl FnMut(usize) -> bool) -> Option<usize> {
        self.walk(Some(path.strip_prefix('/').unwrap_or(path)), accept)
    }

    fn walk(&self, rest: Option<&str>, accept: &mut impl FnMut(usize) -> bool) -> Option<usize> {
        let deeper = match rest {
            None => self.here.iter().copied().find(|&route| accept(route)),
            Some(rest) => {
                let (segment, rest) = match rest.split_once('/') {
                    Some((segment, rest)) => (segment, Some(rest)),
                    None => (rest, None),
                };
                let literal = self.literal.get(segment);
                let parameter = self.parameter.as_deref().filter(|_| !segment.is_empty());
                literal.into_iter().chain(parameter).find_map(|node| node.walk(rest, accept))
            }
        };
        deeper.or_else(|| self.below.iter().copied().find(|&route| accept(route)))
    }
}
