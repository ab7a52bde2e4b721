//! How the parts fit together: what no section can know alone.

use std::path::Path;

use crate::scope::{Named, Unique};
use crate::section::Sink;
use crate::suggest::{did_you_mean, one_of};
use crate::{ConfigError, Listener, Place, Route, Upstream};

/// A gateway without a listener or a route would run and do nothing.
pub(crate) fn at_least_one(kind: &str, found: usize, main: &Path, sink: &Sink) {
    if found == 0 {
        sink.push(
            ConfigError::new(Place::file(main), format!("no `[[{kind}]]`"))
                .expected(format!("at least one `[[{kind}]]`")),
        );
    }
}

/// Listeners without a name are called after their address.
pub(crate) fn name_listeners<'l>(listeners: impl Iterator<Item = &'l mut Listener>, taken: &Unique) {
    for listener in listeners {
        if listener.name.is_empty() {
            listener.name = free_name(listener.address.to_string(), taken, &listener.place);
        }
    }
}

/// Routes without a name are called after their host and path.
pub(crate) fn name_routes(routes: &mut [Route], taken: &Unique) {
    for route in routes {
        if route.name.is_empty() {
            route.name = free_name(describe(route), taken, &route.place);
        }
    }
}

fn free_name(name: String, taken: &Unique, place: &Place) -> String {
    let numbered = (2..).map(|n: u64| format!("{name} #{n}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.has(name)).unwrap_or(name);
    taken.insert(free.clone(), place.clone());
    free
}

fn describe(route: &Route) -> String {
    format!("{}{}", route.host, route.path)
}

/// Fallbacks name upstreams that exist, and don't lead back to where they began.
pub(crate) fn fallbacks(upstreams: &Named<Upstream>, complete: bool, sink: &Sink) {
    for upstream in upstreams.items.values() {
        let Some((name, place)) = upstream.stand_in() else { continue };
        if !upstreams.declared.has(name) {
            if complete {
                let names = upstreams.names();
                let names = || names.iter().map(String::as_str);
                let error = ConfigError::new(place.clone(), format!("no upstream `{name}`"));
                sink.push(error.expected(one_of(names())).maybe_hint(did_you_mean(name, names())));
            }
            continue;
        }
        let next = |name: &str| upstreams.items.get(name)?.stand_in().map(|(name, _)| name);
        // A chain with more links than there are upstreams is a circle, if not one through here.
        let mut chain = std::iter::successors(Some(name), |name| next(name)).take(upstreams.items.len());
        if chain.any(|name| name == upstream.name) {
            let error =
                ConfigError::new(place.clone(), format!("a fallback that leads back to `{}`", upstream.name));
            sink.push(error.expected("an upstream whose own fallbacks lead elsewhere"));
        }
    }
}
