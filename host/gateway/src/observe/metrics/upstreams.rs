//! What the room of upstreams has counted itself: endpoints, their connections, and what was done about
//! trouble.

use super::text::{LabelSet, Text};
use crate::snapshot::Snapshot;

/// A name, what it says, and how it is read from what is known.
type Row<T, V> = (&'static str, &'static str, fn(&T) -> V);

pub fn render(snapshot: &Snapshot, text: &mut Text) {
    upstreams(snapshot, text);
    endpoints(snapshot, text);
}

fn upstreams(snapshot: &Snapshot, text: &mut Text) {
    let known: Vec<_> = snapshot
        .upstreams
        .iter()
        .map(|shared| {
            let set = LabelSet::default().with("limen_upstream", &shared.terms.name);
            (set, shared.resilience(), shared.resolutions(), shared.failed_resolutions())
        })
        .collect();
    type Known = (LabelSet, (crate::upstream::Counted, crate::upstream::Standing), u64, u64);
    let counters: [Row<Known, u64>; 12] = [
        ("limen_upstream_retries", "Requests that were sent again.", |it| it.1.0.retries),
        (
            "limen_upstream_retries_refused",
            "Requests that were not sent again because the retry budget was spent.",
            |it| it.1.0.retries_refused,
        ),
        ("limen_upstream_hedges", "Requests that were sent to one more endpoint.", |it| it.1.0.hedges),
        ("limen_upstream_hedges_won", "Hedges whose answer was taken.", |it| it.1.0.hedges_won),
        ("limen_upstream_timeouts", "Tries that took too long.", |it| it.1.0.timeouts),
        ("limen_upstream_queued", "Requests that found the limit of requests reached.", |it| it.1.0.queued),
        ("limen_upstream_overloaded", "Requests refused because of that limit.", |it| it.1.0.overloaded),
        ("limen_upstream_turned_away", "Requests refused by an open circuit breaker.", |it| {
            it.1.0.turned_away
        }),
        ("limen_upstream_fallbacks", "Requests that the fallback answered.", |it| it.1.0.fallbacks),
        ("limen_upstream_breaker_openings", "How often the circuit breaker has opened.", |it| {
            it.1.1.openings
        }),
        ("limen_upstream_resolutions", "How often names were resolved.", |it| it.2),
        ("limen_upstream_resolutions_failed", "How often a name could not be resolved.", |it| it.3),
    ];
    for (name, help, read) in counters {
        text.counters(name, help, known.iter().map(|it| (&it.0, read(it))));
    }
    text.gauges(
        "limen_upstream_breaker_state",
        "The circuit breaker: 0 closed, 1 open, 2 half open.",
        known.iter().filter_map(|it| Some((&it.0, f64::from(it.1.1.breaker? as u8)))),
    );
    text.gauges(
        "limen_upstream_limited_requests",
        "Requests under way, where they are limited.",
        known.iter().filter_map(|it| Some((&it.0, it.1.1.in_flight? as f64))),
    );
    text.gauges(
        "limen_upstream_waiting_requests",
        "Requests that wait for their turn.",
        known.iter().map(|it| (&it.0, it.1.1.waiting as f64)),
    );
}

fn endpoints(snapshot: &Snapshot, text: &mut Text) {
    let known: Vec<_> = snapshot
        .upstreams
        .iter()
        .flat_map(|shared| {
            shared.status().into_iter().map(|status| {
                let set = LabelSet::default()
                    .with("limen_upstream", &shared.terms.name)
                    .with("limen_endpoint", status.endpoint.address.to_string());
                let connections = status.endpoint.connections.counts();
                (set, status, connections)
            })
        })
        .collect();
    type Known = (LabelSet, crate::upstream::status::Status, crate::upstream::ConnectionCounts);
    let gauges: [Row<Known, f64>; 3] = [
        ("limen_endpoint_used", "1 if the endpoint gets requests at the moment.", |it| {
            f64::from(u8::from(it.1.is_used))
        }),
        ("limen_endpoint_requests", "Requests under way, where the way of balancing counts them.", |it| {
            it.1.endpoint.in_flight() as f64
        }),
        ("limen_endpoint_connections", "Connections that are open.", |it| it.2.open as f64),
    ];
    for (name, help, read) in gauges {
        text.gauges(name, help, known.iter().map(|it| (&it.0, read(it))));
    }
    let counters: [Row<Known, u64>; 7] = [
        ("limen_endpoint_ejections", "How often it was ejected.", |it| it.1.endpoint.ejections()),
        ("limen_endpoint_checks_passed", "Health checks passed.", |it| it.1.endpoint.checks_passed()),
        ("limen_endpoint_checks_failed", "Health checks failed.", |it| it.1.endpoint.checks_failed()),
        ("limen_endpoint_connections_made", "Connections made.", |it| it.2.made),
        ("limen_endpoint_connections_reused", "Requests that found a connection.", |it| it.2.reused),
        ("limen_endpoint_connections_failed", "Connections that could not be made.", |it| it.2.failed),
        ("limen_endpoint_tls_failed", "TLS handshakes that failed.", |it| it.2.tls_failed),
    ];
    for (name, help, read) in counters {
        text.counters(name, help, known.iter().map(|it| (&it.0, read(it))));
    }
}
