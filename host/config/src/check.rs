//! How the parts fit together: what no section can know alone.

use std::path::Path;

use crate::scope::Unique;
use crate::section::Sink;
use crate::{ConfigError, Listener, Place, Route};

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
