//! How the parts fit together: what no section can know alone.

use std::collections::HashMap;
use std::path::Path;

use crate::scope::Unique;
use crate::section::Sink;
use crate::{ConfigError, Host, Listener, Place, Route};

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

/// Of two routes that match the same requests, one would never be taken.
pub(crate) fn no_route_twice(routes: &[Option<Route>], sink: &Sink) {
    let mut by_host: HashMap<(&Host, usize, bool), Vec<&Route>> = HashMap::new();
    for route in routes.iter().flatten() {
        let near = by_host.entry((&route.host, route.path.segments.len(), route.path.rest)).or_default();
        if let Some(first) = near.iter().find(|first| same(first, route)) {
            let name = if first.name.is_empty() { describe(first) } else { first.name.clone() };
            sink.push(
                ConfigError::new(
                    route.place.clone(),
                    format!("duplicate route: it matches the same requests as `{name}`"),
                )
                .expected("another listener, host, path, method or `when` than any other route")
                .hint(format!("the first is at {}", first.place)),
            );
        }
        near.push(route);
    }
}

fn same(a: &Route, b: &Route) -> bool {
    let methods = match (&a.methods, &b.methods) {
        (Some(a), Some(b)) => a.iter().any(|method| b.contains(method)),
        (None, None) => true,
        // The one that names the method is the more specific.
        (Some(_), None) | (None, Some(_)) => false,
    };
    let when = a.when.iter().all(|it| b.when.contains(it)) && b.when.iter().all(|it| a.when.contains(it));
    methods
        && when
        && a.path.same_shape(&b.path)
        && a.listeners.iter().any(|listener| b.listeners.contains(listener))
}
