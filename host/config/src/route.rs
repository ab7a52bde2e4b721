//! `[[route]]`

use http::Method;

use crate::policy::left_out;
use crate::request::{RouteLimits, RouteTimeouts};
use crate::scope::Scope;
use crate::section::{Section, section};
use crate::suggest::distance;
use crate::twice::Asking;
use crate::upgrade::upgrades;
use crate::value::{Value, list, some, table};
use crate::{Action, Attachment, Condition, Host, Place, RoutePath};

section! {
    /// `[[route]]`: which requests go where, and through which policies. The most specific one that
    /// fits is taken, wherever it stands. More specific is, in this order:
    ///
    /// - an exact `host` before a wildcard, the longer of two wildcards, any host last;
    /// - a `path`, compared segment by segment from the left: plain text before a regular expression
    ///   before a parameter before `/**`. A regular expression stands where its plain beginning ends;
    ///   of two, the one with the longer beginning goes first;
    /// - more conditions in `when` before fewer;
    /// - a route with `methods` before one without;
    /// - the one that stands first in the file (of regular expressions on one beginning as well).
    ///
    /// A route whose conditions or methods don't fit hides no less specific one, also of a less
    /// specific host. Two routes of which one could never be taken are refused.
    pub struct Route(section, scope: &Scope<'_>) {
        /// `name`: what the log and metrics call it, unique. Default: its host and path, with a
        /// number after it where that is taken.
        pub name: String = section.or("name", scope.routes.name(), String::new()), // filled in by `check`

        /// `listeners`: the names of those it answers at, as indices into the configuration's
        /// listeners. Left out: all.
        pub listeners: Vec<usize> =
            section.or("listeners", some(|value| scope.listener(value)), scope.all_listeners()),

        /// `host`: "api.example.com", or "*.example.com" for all names below it. Left out: any.
        pub host: Host = section.or("host", Host::read, Host::Any),

        /// `path`: "/v1/users/{id}", where `{id}` is one segment that is not empty and a parameter for
        /// policies; or "/v1/**" for /v1, /v1/ and all below; or `{ regex = "/v1/users/(?<id>[0-9]+)" }`.
        /// Default "/**".
        pub path: RoutePath = section.or("path", RoutePath::read, RoutePath::everything()),

        /// `methods`: like ["GET", "PUT"]. Left out: every method.
        pub methods: Option<Vec<Method>> = section.optional("methods", methods),

        /// `when`: what else must be true of a request. Default: nothing.
        pub when: Vec<Condition> = section.or("when", list(table(Condition::read)), Vec::new()),

        /// `policies`: names of policies, plugins and built-ins, or tables `{ use, with, on_error }`;
        /// in the order that requests pass them. Those of `[defaults]` come first, but for the
        /// ones that `without` names.
        pub policies: Vec<Attachment> = policies(section, scope),

        /// `limits`: how much of a request the route takes.
        pub limits: RouteLimits = section.table("limits", |section| RouteLimits::read(section, scope.limits)),

        /// `timeout`: how long a request may take.
        pub timeout: RouteTimeouts =
            section.table("timeout", |section| RouteTimeouts::read(section, scope.timeout)),

        /// `upgrades`: the protocols that a client may ask to go on in (`Upgrade`, or the extended
        /// CONNECT of RFC 8441), if the upstream agrees; one that speaks HTTP/2 is asked by extended CONNECT
        /// too, if it has announced that it takes it. The policies see the request that asks and its
        /// response. A request for another protocol is passed on without asking for it. Default ["websocket"].
        pub upgrades: Vec<String> = section.or("upgrades", upgrades, vec!["websocket".to_owned()]),

        /// `upstream`: the name of the upstream that answers, or several with weights; or instead of it
        /// `redirect`, or `respond`.
        pub action: Action = Action::read(section, path.as_ref(), scope),

        /// Where it stands in the file.
        pub place: Place = {
            if section.is_understood()
                && let (Some(listeners), Some(host), Some(path), Some(methods), Some(when)) =
                (&listeners, &host, &path, &methods, &when)
            {
                let name = name.clone().filter(|name| !name.is_empty());
                let name = name.unwrap_or_else(|| format!("{host}{path}"));
                let (listeners, methods, when) = (listeners.clone(), methods.clone(), when.clone());
                let route = Asking { name, listeners, methods, when, place: section.place() };
                scope.asked.once(host, path, route, section);
            }
            Some(section.place())
        },
    }
}

section! {
    /// `[defaults]`: what every route has. Only in the main file.
    pub(crate) struct Defaults(section, scope: &Scope<'_>) {
        /// `policies`: they come before a route's own; a route leaves one out by
        /// `without = ["NAME"]`.
        pub(crate) policies: Vec<Attachment> =
            section.or("policies", list(|value| Attachment::read(value, scope)), Vec::new()),

        /// `limits`: those of every route that does not say otherwise.
        pub(crate) limits: RouteLimits =
            section.table("limits", |section| RouteLimits::read(section, RouteLimits::default())),

        /// `timeout`: those of every route that does not say otherwise.
        pub(crate) timeout: RouteTimeouts =
            section.table("timeout", |section| RouteTimeouts::read(section, RouteTimeouts::default())),
    }
}

fn policies(section: &Section<'_>, scope: &Scope<'_>) -> Option<Vec<Attachment>> {
    let own = section.or("policies", list(|value| Attachment::read(value, scope)), Vec::new());
    let without = section.or("without", list(|value| left_out(value, scope.default_names)), Vec::new());
    let (own, without) = (own?, without?);
    let defaults = scope.defaults.iter().filter(|policy| !without.contains(&policy.name));
    Some(defaults.cloned().chain(own).collect())
}

pub(crate) fn methods(value: &Value<'_>) -> Option<Vec<Method>> {
    let mut seen = Vec::new();
    for (method, item) in some(method)(value)?.into_iter().zip(value.items("an array")?) {
        if seen.contains(&method) {
            return item
                .fail(item.error(format!("the method `{method}` twice")).expected("each method once"));
        }
        seen.push(method);
    }
    Some(seen)
}

/// A method by its name; an unusual one is fine if it does not look like a slip.
pub(crate) fn method(value: &Value<'_>) -> Option<Method> {
    const USUAL: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    const EXPECTED: &str = "a method in upper case, like \"GET\" or \"POST\"";
    let text = value.text(EXPECTED)?;
    let near = USUAL.iter().find(|usual| distance(usual, &text) <= 1);
    let upper =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-');
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if upper && near.is_none_or(|near| *near == text) => Some(method),
        _ => {
            let error = value.error(format!("not a method: `{text}`")).expected(EXPECTED);
            value.fail(error.maybe_hint(near.map(|near| format!("did you mean \"{near}\"?"))))
        }
    }
}
