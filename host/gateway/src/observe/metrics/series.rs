//! What one worker counts for one route or upstream: a series for each combination of labels that has
//! been met.

use std::sync::OnceLock;

use http::{Method, StatusCode};

use super::cell::{DurationHistogram, SizeHistogram};

/// A route or upstream has this many series per worker at most. What comes after that goes to one that
/// says so: an upstream that invents statuses is not to fill the memory.
const MOST: usize = 100;

/// The labels of a series, but for the route or upstream that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    pub method: KnownMethod,
    /// None if there was no answer.
    pub status: Option<StatusCode>,
    pub scheme: Scheme,
    /// What ended it early, or else the reason for an answer of the gateway's own; empty for none.
    pub error: &'static str,
    pub reason: &'static str,
    /// It stands for all that found no place.
    pub overflow: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    #[default]
    Http,
    Https,
}

/// A method that the conventions know. The others are one: clients may send any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum KnownMethod {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Connect,
    Trace,
    Other,
}

/// All series of one route or upstream, oldest first. Only its worker adds to it.
pub struct SeriesList<S> {
    first: OnceLock<Box<Node<S>>>,
}

struct Node<S> {
    labels: Labels,
    series: S,
    next: OnceLock<Box<Node<S>>>,
}

/// Exchanges with clients.
#[derive(Default)]
pub struct ServerSeries {
    pub duration: DurationHistogram,
    pub request_size: SizeHistogram,
    pub response_size: SizeHistogram,
}

/// Attempts at an upstream, and what no client waits for.
#[derive(Default)]
pub struct ClientSeries {
    pub duration: DurationHistogram,
}

impl<S: Default> SeriesList<S> {
    /// The series with these labels. What a route serves most is there first, so that the walk is short.
    pub fn get(&self, labels: Labels) -> &S {
        let mut place = &self.first;
        for _ in 1..MOST {
            let node = place.get_or_init(|| Box::new(Node::new(labels)));
            if node.labels == labels {
                return &node.series;
            }
            place = &node.next;
        }
        &place.get_or_init(|| Box::new(Node::new(Labels::overflow()))).series
    }

    pub fn iter(&self) -> impl Iterator<Item = (Labels, &S)> {
        std::iter::successors(self.first.get(), |node| node.next.get())
            .map(|node| (node.labels, &node.series))
    }
}

impl<S: Default> Node<S> {
    fn new(labels: Labels) -> Self {
        Node { labels, series: S::default(), next: OnceLock::new() }
    }
}

impl<S> Default for SeriesList<S> {
    fn default() -> Self {
        SeriesList { first: OnceLock::new() }
    }
}

impl<S> Drop for SeriesList<S> {
    /// One after another: dropping a list by its nested boxes would take a stack frame for each.
    fn drop(&mut self) {
        let mut next = self.first.take();
        while let Some(mut node) = next {
            next = node.next.take();
        }
    }
}

impl Labels {
    fn overflow() -> Self {
        Labels {
            method: KnownMethod::Other,
            status: None,
            scheme: Scheme::Http,
            error: "",
            reason: "",
            overflow: true,
        }
    }
}

impl Scheme {
    pub const ALL: [Scheme; 2] = [Scheme::Http, Scheme::Https];

    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl KnownMethod {
    pub const ALL: [KnownMethod; 10] = {
        use KnownMethod::{Connect, Delete, Get, Head, Options, Other, Patch, Post, Put, Trace};
        [Get, Head, Post, Put, Patch, Delete, Options, Connect, Trace, Other]
    };

    pub fn name(self) -> &'static str {
        match self {
            KnownMethod::Get => "GET",
            KnownMethod::Head => "HEAD",
            KnownMethod::Post => "POST",
            KnownMethod::Put => "PUT",
            KnownMethod::Patch => "PATCH",
            KnownMethod::Delete => "DELETE",
            KnownMethod::Options => "OPTIONS",
            KnownMethod::Connect => "CONNECT",
            KnownMethod::Trace => "TRACE",
            KnownMethod::Other => "_OTHER",
        }
    }
}

impl From<&Method> for KnownMethod {
    fn from(method: &Method) -> Self {
        match *method {
            Method::GET => KnownMethod::Get,
            Method::HEAD => KnownMethod::Head,
            Method::POST => KnownMethod::Post,
            Method::PUT => KnownMethod::Put,
            Method::PATCH => KnownMethod::Patch,
            Method::DELETE => KnownMethod::Delete,
            Method::OPTIONS => KnownMethod::Options,
            Method::CONNECT => KnownMethod::Connect,
            Method::TRACE => KnownMethod::Trace,
            _ => KnownMethod::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(status: u16) -> Labels {
        Labels { status: StatusCode::from_u16(status).ok(), overflow: false, ..Labels::overflow() }
    }

    #[test]
    fn what_finds_no_place_is_counted_all_the_same() {
        let list = SeriesList::<ServerSeries>::default();
        for status in (100..1000).chain([100]) {
            list.get(labels(status)).duration.record_time(std::time::Duration::ZERO);
        }
        let count = |series: &ServerSeries| {
            let mut total = super::super::cell::Total::default();
            series.duration.add_to(&mut total);
            total.buckets[0]
        };
        let counts: Vec<_> = list.iter().map(|(labels, series)| (labels.overflow, count(series))).collect();
        assert_eq!(counts.len(), MOST);
        assert_eq!(counts[0], (false, 2));
        assert_eq!(counts[MOST - 1], (true, 901 - MOST as u64));
    }
}
