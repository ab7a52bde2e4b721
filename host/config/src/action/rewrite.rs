//! `rewrite` of a route

use http::HeaderValue;

use super::template::Template;
use crate::RoutePath;
use crate::section::{Section, section};
use crate::value::Value;

section! {
    /// `rewrite = { path = "/internal/{id}/{rest}", host = "users.internal" }`: what the upstream is
    /// asked for instead. Policies, logs and conditions see what the client sent: it is done last.
    /// Where a policy has changed the path itself, that one goes on as the policy left it. The query
    /// stays as it is.
    #[derive(PartialEq, Eq)]
    pub struct Rewrite(section, route: Option<&RoutePath>) {
        /// `path`: the new path. `{name}` is a parameter of the route's path, `/{rest}` what `/**`
        /// stood for, `{path}` all of it; for substitutions by a regular expression give the route's
        /// path as one, with named groups. Or `prefix`: what comes in the place of all before `/**`,
        /// "/" for nothing.
        pub path: Option<Template> = path(section, route),

        /// `host`: the `Host` that the upstream reads, unless `host` of the upstream says otherwise.
        /// Left out: as it would be without.
        pub host: Option<HeaderValue> = section.optional("host", host),
    }
}

fn path(section: &Section<'_>, route: Option<&RoutePath>) -> Option<Option<Template>> {
    let path = section.optional("path", |value| Template::path(value, route));
    let prefix = section.optional("prefix", |value| Template::prefix(value, route));
    match (path?, prefix?) {
        (Some(_), Some(_)) => section.fail("two paths for one request", "either `path` or `prefix`"),
        (path, prefix) => Some(path.or(prefix)),
    }
}

/// A host with or without a port.
pub(super) fn host(value: &Value<'_>) -> Option<HeaderValue> {
    const EXPECTED: &str = "a host like \"users.internal\" or \"users.internal:8080\"";
    let text = value.text(EXPECTED)?;
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text.as_str(), "1"),
    };
    let good = crate::Host::name(host).is_some() && port.parse::<u16>().is_ok();
    match HeaderValue::from_str(&text) {
        Ok(host) if good => Some(host),
        _ => value.fail(value.error(format!("not a host: `{text}`")).expected(EXPECTED)),
    }
}
