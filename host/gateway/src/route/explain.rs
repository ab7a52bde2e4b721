//! `limen explain`: which route a request would take, and why not another one.

use std::fmt::Write;
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Uri, Version};
use limen_config::{Action, Config, Listener, Route};

use super::table::{Ask, Candidate, Found, RouteTable, Visit};
use crate::head::{self, Traits};

/// A request that nobody has sent.
pub struct Question {
    pub method: Method,
    /// A URL, or its path alone.
    pub target: Uri,
    pub headers: HeaderMap,
    pub client: IpAddr,
    /// The name of the listener it is for; otherwise all answer.
    pub listener: Option<String>,
}

/// What each listener would do, for people.
pub fn explain(config: &Config, question: Question) -> Result<String, String> {
    let Question { method, target, headers, client, listener } = question;
    let here = |it: &&Listener| listener.as_ref().is_none_or(|name| it.name == *name);
    let listeners: Vec<(usize, &Listener)> =
        config.listeners.iter().enumerate().filter(|(_, listener)| here(listener)).collect();
    if listeners.is_empty() {
        let names: Vec<_> = config.listeners.iter().map(|listener| format!("`{}`", listener.name)).collect();
        return Err(format!("no such listener; there are {}", names.join(", ")));
    }
    let mut request = request(method, &target, headers);
    let traits = Traits::of(&request);
    if let Err(fault) = head::settle(&mut request, &traits, &config.gateway.path) {
        return Ok(format!("refused with {}: {}", fault.status, fault.reason));
    }
    let ask = Ask::new(&request, client);
    let mut text = String::new();
    for (number, listener) in listeners {
        let table = RouteTable::new(&config.routes, number);
        let mut witness = Witness { ask: &ask, routes: &config.routes, taken: false, lines: Vec::new() };
        table.walk(&ask, &mut witness);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {} at `{}`", ask.method, ask.path, listener.name);
        if !witness.taken {
            let _ = match table.find(&ask) {
                Found::OtherMethods(allow) => writeln!(text, "  no route: 405, Allow: {allow}"),
                _ => writeln!(text, "  no route: 404"),
            };
        }
        for line in witness.lines {
            let _ = writeln!(text, "  {line}");
        }
    }
    Ok(text.trim_end().to_owned())
}

fn request(method: Method, target: &Uri, headers: HeaderMap) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = head::origin_form(target);
    *request.headers_mut() = headers;
    let host = target.authority().and_then(|host| HeaderValue::try_from(host.as_str()).ok());
    let host = host.unwrap_or(HeaderValue::from_static(""));
    request.headers_mut().entry(header::HOST).or_insert(host);
    request
}

/// Hears of every route at the request's host and path, most specific first, and takes none.
struct Witness<'a> {
    ask: &'a Ask<'a>,
    routes: &'a [Route],
    taken: bool,
    lines: Vec<String>,
}

impl Visit for Witness<'_> {
    fn takes(&mut self, candidate: &Candidate) -> bool {
        let Some(route) = self.routes.get(candidate.route) else { return false };
        let name = format!("`{}` ({})", route.name, route.place);
        let line = if let Some(number) = candidate.conditions.first_failing(self.ask) {
            format!("passed by: {name}, when[{number}] does not hold")
        } else if !candidate.allows(self.ask.method) {
            let methods: Vec<_> = route.methods.iter().flatten().map(Method::as_str).collect();
            format!("passed by: {name}, for {} only", methods.join(", "))
        } else if self.taken {
            format!("less specific: {name}")
        } else {
            self.taken = true;
            format!("taken: {name}, {}", what(&route.action))
        };
        self.lines.push(line);
        false
    }
}

/// What a route does, in a few words.
fn what(action: &Action) -> String {
    match action {
        Action::Forward(forward) => {
            let targets = forward.split.targets.iter();
            let shares: Vec<_> = targets.map(|it| format!("`{}` (weight {})", it.to, it.weight)).collect();
            let to = forward.split.only().map_or(shares.join(" or "), |only| format!("`{only}`"));
            let path = forward.rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref());
            let path = path.map_or(String::new(), |path| format!(", rewritten to {}", path.text));
            format!("to the upstream {to}{path}")
        }
        Action::Redirect(redirect) => format!("redirected to {} with {}", redirect.to.text, redirect.status),
        Action::Respond(respond) => format!("answered with {}", respond.status),
    }
}
