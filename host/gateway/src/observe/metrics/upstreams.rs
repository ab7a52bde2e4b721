//! What the room of upstreams has counted itself: what was done about trouble. Its endpoints have
//! [a file of their own](super::endpoints).

use super::text::{LabelSet, Text};
use crate::snapshot::Snapshot;
use crate::upstream::{Counted, Shared, Standing};

/// A name, what it says, and how it is read from what is known.
type Row<T, V> = (&'static str, &'static str, fn(&T) -> V);

pub fn render(snapshot: &Snapshot, text: &mut Text) {
    let known: Vec<_> =
        snapshot.upstreams.iter().map(|upstream| (labels(upstream), upstream.resilience())).collect();
    let counters: [Row<Counted, u64>; 9] = [
        ("limen_upstream_retries", "Requests that were sent again.", |it| it.retries),
        (
            "limen_upstream_retries_refused",
            "Requests that were not sent again because the retry budget was spent.",
            |it| it.retries_refused,
        ),
        ("limen_upstream_hedges", "Requests that were sent to one more endpoint.", |it| it.hedges),
        ("limen_upstream_hedges_won", "Hedges whose answer was taken.", |it| it.hedges_won),
        ("limen_upstream_timeouts", "Tries that took too long.", |it| it.timeouts),
        ("limen_upstream_queued", "Requests that found the limit of requests reached.", |it| it.queued),
        ("limen_upstream_overloaded", "Requests refused because of that limit.", |it| it.overloaded),
        ("limen_upstream_turned_away", "Requests refused by an open circuit breaker.", |it| it.turned_away),
        ("limen_upstream_fallbacks", "Requests that the fallback answered.", |it| it.fallbacks),
    ];
    for (name, help, read) in counters {
        text.counters(name, help, known.iter().map(|(set, (counted, _))| (set, read(counted))));
    }
    standing(&known, text);
    resolutions(snapshot, text);
}

fn standing(known: &[(LabelSet, (Counted, Standing))], text: &mut Text) {
    let all = || known.iter().map(|(set, (_, standing))| (set, standing));
    text.counters(
        "limen_upstream_breaker_openings",
        "How often the circuit breaker has opened.",
        all().filter(|(_, standing)| standing.breaker.is_some()).map(|(set, it)| (set, it.openings)),
    );
    text.gauges(
        "limen_upstream_breaker_state",
        "The circuit breaker: 0 closed, 1 open, 2 half open.",
        all().filter_map(|(set, it)| Some((set, f64::from(it.breaker? as u8)))),
    );
    text.gauges(
        "limen_upstream_limited_requests",
        "Requests under way, where they are limited.",
        all().filter_map(|(set, it)| Some((set, it.in_flight? as f64))),
    );
    text.gauges(
        "limen_upstream_waiting_requests",
        "Requests that wait for their turn.",
        all().map(|(set, it)| (set, it.waiting as f64)),
    );
}

fn resolutions(snapshot: &Snapshot, text: &mut Text) {
    let named = snapshot.upstreams.iter().filter(|upstream| upstream.has_names());
    let resolutions: Vec<_> = named
        .flat_map(|upstream| {
            let set = |result| labels(upstream).with("result", result);
            [(set("resolved"), upstream.resolutions()), (set("failed"), upstream.failed_resolutions())]
        })
        .collect();
    text.counters(
        "limen_upstream_resolutions",
        "How often names of endpoints were resolved, by the result.",
        resolutions.iter().map(|(set, count)| (set, *count)),
    );
}

fn labels(upstream: &Shared) -> LabelSet {
    LabelSet::default().with("limen_upstream", &upstream.terms.name)
}
