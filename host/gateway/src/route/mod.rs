//! Where a request goes: the routes of one listener, most specific first.

mod condition;
mod tree;

use std::collections::HashMap;

use http::{HeaderMap, Method, Request};
use limen_config::{Host, Route};

use condition::Conditions;
use tree::Tree;

/// The routes that one listener answers at, found by host, path, method and headers. A find costs a
/// few hash look-ups, whatever the number of routes.
#[derive(Default)]
pub struct RouteTable {
    exact: HashMap<Box<str>, Tree>,
    /// By suffix (`.example.com`), looked up label by label: the longest wins.
    wildcard: HashMap<Box<str>, Tree>,
    any: Tree,
    /// What a route asks beside host and path, by the route's number in the snapshot.
    rules: HashMap<usize, Rule>,
}

struct Rule {
    methods: Option<Vec<Method>>,
    conditions: Conditions,
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

impl RouteTable {
    /// The table of the listener with this number.
    pub fn new(routes: &[Route], listener: usize) -> Self {
        let mut table = RouteTable::default();
        let mut here: Vec<_> =
            routes.iter().enumerate().filter(|(_, route)| route.listeners.contains(&listener)).collect();
        // On one path, more conditions go first, then a route with methods before one without. The
        // sort is stable: what is left is the order of the file.
        here.sort_by_key(|(_, route)| (std::cmp::Reverse(route.when.len()), route.methods.is_none()));
        for (number, route) in here {
            let tree = match &route.host {
                Host::Exact(name) => table.exact.entry(name.as_str().into()).or_default(),
                Host::Wildcard(suffix) => table.wildcard.entry(suffix.as_str().into()).or_default(),
                Host::Any => &mut table.any,
            };
            tree.insert(&route.path, number);
            let rule =
                Rule { methods: route.methods.clone(), conditions: Conditions::new(route.when.clone()) };
            table.rules.insert(number, rule);
        }
        table
    }

    /// The most specific route for a request: exact host before wildcard before any; literal segment
    /// before parameter before `**`; then by conditions and methods.
    pub fn find<B>(&self, request: &Request<B>) -> Found {
        let path = request.uri().path();
        let mut others: Vec<&Method> = Vec::new();
        let mut accept = |number: usize| match self.rules.get(&number) {
            Some(rule) if rule.conditions.hold(request.headers()) => match rule.methods.as_deref() {
                Some(methods) if !allows(methods, request.method()) => {
                    others.extend(methods);
                    false
                }
                _ => true,
            },
            _ => false,
        };
        let found = self.trees(request).find_map(|tree| tree.find(path, &mut accept));
        match found {
            Some(number) => Found::Route(number),
            None if others.is_empty() => Found::Nothing,
            None => Found::OtherMethods(allow(&others)),
        }
    }

    fn trees<B>(&self, request: &Request<B>) -> impl Iterator<Item = &Tree> {
        let named = !(self.exact.is_empty() && self.wildcard.is_empty());
        let host = if named { host(request) } else { None };
        let exact = host.as_deref().and_then(|host| self.exact.get(host));
        let suffixes = host.as_deref().unwrap_or_default();
        let wildcards: Vec<&Tree> = suffixes
            .match_indices('.')
            .filter_map(|(dot, _)| self.wildcard.get(suffixes.get(dot..).filter(|_| dot > 0)?))
            .collect();
        exact.into_iter().chain(wildcards).chain([&self.any])
    }
}

/// GET brings HEAD with it (RFC 9110, section 9.3.2).
fn allows(methods: &[Method], method: &Method) -> bool {
    methods.contains(method) || (*method == Method::HEAD && methods.contains(&Method::GET))
}

fn allow(methods: &[&Method]) -> String {
    let mut names: Vec<&str> = methods.iter().map(|method| method.as_str()).collect();
    if names.contains(&"GET") {
        names.push("HEAD");
    }
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

/// The host a request asks for, without its port, in lower case.
fn host<B>(request: &Request<B>) -> Option<String> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => header_text(request.headers(), "host")?,
    };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    Some(host.trim_end_matches('.').to_ascii_lowercase())
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests;
