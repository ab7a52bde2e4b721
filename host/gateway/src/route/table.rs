//! Where a request goes: the routes of one listener, most specific first.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

use http::{HeaderMap, Method, Request};
use limen_config::{Host, Route};

use super::condition::Conditions;
use super::tree::{Names, Tree};

/// The routes that one listener answers at, found by host, path, method and conditions. A find costs
/// a few hash look-ups, whatever the number of routes, and no allocation.
#[derive(Default)]
pub struct RouteTable {
    exact: HashMap<Box<str>, Tree, Names>,
    /// By suffix (`.example.com`), looked up label by label: the longest wins.
    wildcard: HashMap<Box<str>, Tree, Names>,
    any: Tree,
}

/// What a route can be chosen by.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    pub method: &'a Method,
    /// The host, if one was named; with or without a port, in any case.
    pub authority: Option<&'a str>,
    pub path: &'a str,
    pub query: Option<&'a str>,
    pub headers: &'a HeaderMap,
    pub client: IpAddr,
}

/// A route at its place in a tree, and what it asks beside host and path.
pub struct Candidate {
    /// Its number in the snapshot.
    pub route: usize,
    pub methods: Option<Vec<Method>>,
    pub conditions: Conditions,
}

/// Who goes through a table, and says which of the routes there is taken.
pub trait Visit {
    fn takes(&mut self, candidate: &Candidate) -> bool;
    /// One more node of a tree was looked at.
    fn node(&mut self) {}
    /// One more regular expression was tried.
    fn regex(&mut self) {}
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// The route of this number.
    Route(usize),
    /// Routes have this host and path, and other methods: the value of `Allow`.
    OtherMethods(String),
    Nothing,
}

impl<'a> Ask<'a> {
    pub fn new<B>(request: &'a Request<B>, client: IpAddr) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        let authority = match uri.authority() {
            Some(authority) => Some(authority.as_str()),
            None => headers.get(http::header::HOST).and_then(|host| host.to_str().ok()),
        };
        Ask { method: request.method(), authority, path: uri.path(), query: uri.query(), headers, client }
    }
}

impl RouteTable {
    /// The table of the listener with this number.
    pub fn new(routes: &[Route], listener: usize) -> Self {
        let mut table = RouteTable::default();
        let mut here: Vec<_> =
            routes.iter().enumerate().filter(|(_, route)| route.listeners.contains(&listener)).collect();
        // On one path, more conditions go first, then a route with methods before one without. The
        // sort is stable: what is left is the order of the file.
        here.sort_by_key(|(_, route)| (Reverse(route.when.len()), route.methods.is_none()));
        for (number, route) in here {
            let tree = match &route.host {
                Host::Exact(name) => table.exact.entry(name.as_str().into()).or_default(),
                Host::Wildcard(suffix) => table.wildcard.entry(suffix.as_str().into()).or_default(),
                Host::Any => &mut table.any,
            };
            let conditions = Conditions::new(&route.when);
            let candidate = Candidate { route: number, methods: route.methods.clone(), conditions };
            tree.insert(&route.path, candidate);
        }
        table
    }

    /// The most specific route for a request: exact host before wildcard before any; then by path, see
    /// [`Tree`]; then by conditions and methods.
    pub fn find(&self, ask: &Ask<'_>) -> Found {
        let mut finder = Finder { ask, others: Vec::new() };
        match self.walk(ask, &mut finder) {
            Some(number) => Found::Route(number),
            None if finder.others.is_empty() => Found::Nothing,
            None => Found::OtherMethods(allow(&finder.others)),
        }
    }

    /// The first route that the visitor takes.
    pub fn walk(&self, ask: &Ask<'_>, visit: &mut impl Visit) -> Option<usize> {
        if !(self.exact.is_empty() && self.wildcard.is_empty())
            && let Some(host) = ask.authority.map(host)
        {
            if let Some(tree) = self.exact.get(&*host)
                && let Some(found) = tree.find(ask.path, visit)
            {
                return Some(found);
            }
            for (dot, _) in host.match_indices('.').filter(|(dot, _)| *dot > 0) {
                if let Some(tree) = host.get(dot..).and_then(|suffix| self.wildcard.get(suffix))
                    && let Some(found) = tree.find(ask.path, visit)
                {
                    return Some(found);
                }
            }
        }
        self.any.find(ask.path, visit)
    }
}

/// Takes the first that holds, and remembers whom only the method kept away.
struct Finder<'a, 'c> {
    ask: &'c Ask<'a>,
    others: Vec<Method>,
}

impl Visit for Finder<'_, '_> {
    fn takes(&mut self, candidate: &Candidate) -> bool {
        if !candidate.conditions.hold(self.ask) {
            return false;
        }
        let allowed = candidate.allows(self.ask.method);
        if !allowed {
            self.others.extend(candidate.methods.iter().flatten().cloned());
        }
        allowed
    }
}

impl Candidate {
    /// GET brings HEAD with it (RFC 9110, section 9.3.2).
    pub fn allows(&self, method: &Method) -> bool {
        self.methods.as_ref().is_none_or(|methods| {
            methods.contains(method) || (*method == Method::HEAD && methods.contains(&Method::GET))
        })
    }
}

fn allow(methods: &[Method]) -> String {
    let mut names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// The host of an authority, without its port and in lower case, which it nearly always is already.
pub(super) fn host(authority: &str) -> Cow<'_, str> {
    let host = limen_policy::without_port(authority);
    let host = host.strip_suffix('.').unwrap_or(host);
    match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        false => Cow::Borrowed(host),
        true => Cow::Owned(host.to_ascii_lowercase()),
    }
}
