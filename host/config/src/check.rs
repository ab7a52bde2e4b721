//! How the parts fit together: what no section can know alone.

use std::collections::HashMap;
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
    let mut numbers = HashMap::new();
    for listener in listeners {
        if listener.name.is_empty() {
            listener.name = free_name(listener.address.to_string(), taken, &mut numbers, &listener.place);
        }
    }
}

/// Routes without a name are called after their host and path.
pub(crate) fn name_routes(routes: &mut [Route], taken: &Unique) {
    let mut numbers = HashMap::new();
    for route in routes {
        if route.name.is_empty() {
            route.name = free_name(describe(route), taken, &mut numbers, &route.place);
        }
    }
}

/// This name, or with a number after it where it is taken. `numbers` remembers where to go on from:
/// thousands may ask for one name.
fn free_name(name: String, taken: &Unique, numbers: &mut HashMap<String, u64>, place: &Place) -> String {
    let number = numbers.entry(name.clone()).or_insert(1);
    let mut free = name.clone();
    while taken.has(&free) {
        *number += 1;
        free = format!("{name} #{number}");
    }
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
