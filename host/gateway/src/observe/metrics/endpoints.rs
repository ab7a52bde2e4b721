//! How endpoints of upstreams are. Their number is the configuration's and DNS's, which bounds it.

use super::text::{LabelSet, Text};
use crate::snapshot::Snapshot;
use crate::upstream::Shared;
use crate::upstream::status::{Condition, Status};

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
    let named = snapshot.upstreams.iter().filter(|upstream| upstream.has_names());
    let resolutions: Vec<_> = named
        .flat_map(|upstream| {
            let set = |result| {
                LabelSet::default().with("limen_upstream", &upstream.terms.name).with("result", result)
            };
            [(set("resolved"), upstream.resolutions()), (set("failed"), upstream.failed_resolutions())]
        })
        .collect();
    text.counters(
        "limen_upstream_resolutions",
        "How often names of endpoints were resolved, by the result.",
        resolutions.iter().map(|(set, count)| (set, *count)),
    );
}

fn labels(upstream: &Shared, status: &Status) -> LabelSet {
    let address = &status.endpoint.address;
    let set = LabelSet::default().with("limen_upstream", &upstream.terms.name);
    set.with("server_address", &address.host).with("network_peer_address", address.socket())
}
