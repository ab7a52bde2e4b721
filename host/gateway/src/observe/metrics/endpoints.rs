//! How endpoints of upstreams are, and their connections. Their number is the configuration's and DNS's, which bounds it.

use super::text::{LabelSet, Text};
use crate::snapshot::Snapshot;
use crate::upstream::status::{Condition, Status};
use crate::upstream::{ConnectionCounts, Shared};

/// A name, what it says, and how it is read.
type Count = (&'static str, &'static str, fn(&ConnectionCounts) -> u64);

pub fn render(snapshot: &Snapshot, text: &mut Text) {
    let upstreams = || snapshot.upstreams.iter().map(|upstream| (upstream, upstream.status()));
    let all: Vec<_> =
        upstreams().flat_map(|(upstream, all)| all.into_iter().map(move |one| (upstream, one))).collect();
    let sets: Vec<_> = all.iter().map(|(upstream, status)| (labels(upstream, status), status)).collect();
    let is = |condition: bool| if condition { 1.0 } else { 0.0 };
    text.gauges(
        "limen_endpoint_healthy",
        "Whether an endpoint passes its checks and is not ejected.",
        sets.iter().map(|(set, status)| (set, is(status.condition == Condition::Healthy))),
    );
    text.gauges(
        "limen_endpoint_used",
        "Whether an endpoint gets requests.",
        sets.iter().map(|(set, status)| (set, is(status.is_used))),
    );
    text.gauges(
        "limen_endpoint_requests",
        "Requests under way, where the way of balancing counts them.",
        sets.iter().map(|(set, status)| (set, status.endpoint.in_flight() as f64)),
    );
    text.counters(
        "limen_endpoint_ejections",
        "How often an endpoint was ejected because requests failed there.",
        sets.iter().map(|(set, status)| (set, status.endpoint.ejections())),
    );
    let checked = all.iter().filter(|(upstream, _)| upstream.terms.health.is_some());
    let checks: Vec<_> = checked
        .flat_map(|(upstream, status)| {
            let (passed, failed) = (status.endpoint.checks_passed(), status.endpoint.checks_failed());
            let set = |result| labels(upstream, status).with("result", result);
            [(set("passed"), passed), (set("failed"), failed)]
        })
        .collect();
    text.counters(
        "limen_endpoint_health_checks",
        "Health checks of an endpoint, by their result.",
        checks.iter().map(|(set, count)| (set, *count)),
    );
    connections(&sets, text);
}

fn connections(sets: &[(LabelSet, &Status)], text: &mut Text) {
    let counted: Vec<_> =
        sets.iter().map(|(set, status)| (set, status.endpoint.connections.counts())).collect();
    text.gauges(
        "limen_endpoint_connections",
        "Connections to an endpoint that are open.",
        counted.iter().map(|(set, counts)| (*set, counts.open as f64)),
    );
    let counters: [Count; 4] = [
        ("limen_endpoint_connections_made", "Connections made.", |it| it.made),
        ("limen_endpoint_connections_reused", "Requests that found a connection.", |it| it.reused),
        ("limen_endpoint_connections_failed", "Connections that could not be made.", |it| it.failed),
        ("limen_endpoint_tls_failed", "TLS handshakes that failed.", |it| it.tls_failed),
    ];
    for (name, help, read) in counters {
        text.counters(name, help, counted.iter().map(|(set, counts)| (*set, read(counts))));
    }
}

fn labels(upstream: &Shared, status: &Status) -> LabelSet {
    let address = &status.endpoint.address;
    let set = LabelSet::default().with("limen_upstream", &upstream.terms.name);
    set.with("server_address", &address.host).with("network_peer_address", address.socket())
}
