//! `[[route]]`

use http::Method;

use crate::policy::left_out;
use crate::scope::Scope;
use crate::section::{Section, section};
use crate::suggest::distance;
use crate::value::{Value, list, some, table};
use crate::{Attachment, Condition, Host, PathPattern, Place};

section! {
    /// `[[route]]`: which requests go where, and through which policies. The most specific one is
    /// taken, wherever it stands.
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

        /// `path`: "/v1/users/{id}", or "/v1/**" for /v1, /v1/ and all below. Default "/**".
        pub path: PathPattern = section.or("path", PathPattern::read, PathPattern::everything()),

        /// `methods`: like ["GET", "PUT"]. Left out: every method.
        pub methods: Option<Vec<Method>> = section.optional("methods", methods),

        /// `when`: what else must be true of a request. Default: nothing.
        pub when: Vec<Condition> = section.or("when", list(table(Condition::read)), Vec::new()),

        /// `policies`: names of policies, plugins and built-ins, or tables `{ use, with, on_error }`;
        /// in the order that requests pass them. Those of `[defaults]` come first, but for the
        /// ones that `without` names.
        pub policies: Vec<Attachment> = policies(section, scope),

        /// `upstream` (required): the name of the upstream that answers.
        pub upstream: String = section.required("upstream", |value| scope.upstream(value)),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}

section! {
    /// `[defaults]`: what every route has. Only in the main file.
    pub(crate) struct Defaults(section, scope: &Scope<'_>) {
        /// `policies`: they come before a route's own; a route leaves one out by
        /// `without = ["NAME"]`.
        pub(crate) policies: Vec<Attachment> =
            section.or("policies", list(|value| Attachment::read(value, scope)), Vec::new()),
    }
}

fn policies(section: &Section<'_>, scope: &Scope<'_>) -> Option<Vec<Attachment>> {
    let own = section.or("policies", list(|value| Attachment::read(value, scope)), Vec::new());
    let without = section.or("without", list(|value| left_out(value, scope.default_names)), Vec::new());
    let (own, without) = (own?, without?);
    let defaults = scope.defaults.iter().filter(|policy| !without.contains(&policy.name));
    Some(defaults.cloned().chain(own).collect())
}

fn methods(value: &Value<'_>) -> Option<Vec<Method>> {
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
fn method(value: &Value<'_>) -> Option<Method> {
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
