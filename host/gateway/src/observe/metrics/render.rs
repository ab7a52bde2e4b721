//! A scrape: the workers added up, and what the rooms have counted themselves.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::UNIX_EPOCH;

use super::cell::{DURATIONS, HOOKS, SIZES, Total};
use super::series::{KnownMethod, Labels, Scheme, ServerSeries};
use super::text::{Format, LabelSet, Text};
use super::{
    Metrics, RouteName, caches, calls, endpoints, key_sets, listeners, lock, plugins, policies, shared,
    upstreams,
};
use crate::observe::output;
use crate::observe::trace::export;
use crate::reload::Record;
use crate::route::MirrorCounts;
use crate::snapshot::Snapshot;
use crate::thread;

const NANOS: f64 = 1e9;

/// All metrics, as text.
pub fn render(metrics: &Metrics, snapshot: &Snapshot, reloads: &Record, format: Format) -> String {
    let mut text = Text::new(format);
    server(metrics, &mut text);
    background(metrics, &mut text);
    client(metrics, &mut text);
    listeners::render(snapshot, &mut text);
    mirrors(snapshot, &mut text);
    upstreams::render(snapshot, &mut text);
    policies::render(snapshot, &mut text);
    decisions(metrics, &mut text);
    hooks(metrics, &mut text);
    endpoints::render(snapshot, &mut text);
    calls::render(snapshot, &mut text);
    caches::render(snapshot, &mut text);
    shared::render(snapshot, &mut text);
    key_sets::render(snapshot, &mut text);
    plugins::render(snapshot, &mut text);
    logs_and_spans(&mut text);
    about(snapshot, reloads, &mut text);
    text.finish()
}

#[derive(Default)]
struct ServerTotal {
    duration: Total<{ DURATIONS.len() }>,
    request_size: Total<{ SIZES.len() }>,
    response_size: Total<{ SIZES.len() }>,
}

/// Exchanges with clients.
fn server(metrics: &Metrics, text: &mut Text) {
    let mut totals = BTreeMap::<_, ServerTotal>::new();
    let mut active = BTreeMap::<_, u64>::new();
    for worker in lock(&metrics.workers).iter() {
        for (name, meters) in &lock(&worker.named).routes {
            for (labels, series) in meters.exchanges.iter() {
                totals.entry((name.clone(), labels)).or_default().add(series);
            }
        }
        for (method, scheme) in methods_and_schemes() {
            let of_worker = worker.active(method, scheme).map_or(0, |active| active.get());
            let all = active.entry((method, scheme)).or_default();
            *all = all.wrapping_add(of_worker);
        }
    }
    let totals: Vec<_> =
        totals.into_iter().map(|((route, labels), total)| (with(of_route(&route), labels), total)).collect();
    text.histograms(
        "http_server_request_duration_seconds",
        "Time from a request's head to the end of its response.",
        &DURATIONS,
        NANOS,
        totals.iter().map(|(set, total)| (set, &total.duration)),
    );
    text.histograms(
        "http_server_request_body_size_bytes",
        "Bytes of request bodies, as they arrived.",
        &SIZES,
        1.0,
        totals.iter().map(|(set, total)| (set, &total.request_size)),
    );
    text.histograms(
        "http_server_response_body_size_bytes",
        "Bytes of response bodies, as they were sent.",
        &SIZES,
        1.0,
        totals.iter().map(|(set, total)| (set, &total.response_size)),
    );
    let active: Vec<_> = active
        .into_iter()
        .filter(|((method, _), active)| *active > 0 || *method == KnownMethod::Get)
        .map(|((method, scheme), active)| {
            let set = LabelSet::default().with("http_request_method", method.name());
            (set.with("url_scheme", scheme.name()), active as f64)
        })
        .collect();
    text.gauges(
        "http_server_active_requests",
        "Exchanges under way.",
        active.iter().map(|(set, active)| (set, *active)),
    );
}

/// What the gateway asked upstreams of its own accord, behind answers.
fn background(metrics: &Metrics, text: &mut Text) {
    let mut totals = BTreeMap::<_, Total<{ DURATIONS.len() }>>::new();
    for worker in lock(&metrics.workers).iter() {
        for (name, meters) in &lock(&worker.named).routes {
            for (labels, series) in meters.background.iter() {
                series.duration.add_to(totals.entry((name.clone(), labels)).or_default());
            }
        }
    }
    let totals: Vec<_> =
        totals.into_iter().map(|((route, labels), total)| (with(of_route(&route), labels), total)).collect();
    text.histograms(
        "limen_background_request_duration_seconds",
        "Time of requests behind an answer, which no client waited for: a cache that asks for a newer response.",
        &DURATIONS,
        NANOS,
        totals.iter().map(|(set, total)| (set, total)),
    );
}

/// What policies decided that ended an exchange, or should have.
fn decisions(metrics: &Metrics, text: &mut Text) {
    let mut totals = BTreeMap::<_, u64>::new();
    for worker in lock(&metrics.workers).iter() {
        for (name, meters) in &lock(&worker.named).routes {
            for it in meters.decisions.all() {
                *totals.entry((name.name.clone(), it.policy, it.verdict, it.reason)).or_default() += it.count;
            }
        }
    }
    let totals: Vec<_> = totals
        .into_iter()
        .map(|((route, policy, verdict, reason), count)| {
            let set = LabelSet::default().with("limen_route", &route).with("limen_policy", &policy);
            (set.with("limen_verdict", verdict).with("limen_reason", reason), count)
        })
        .collect();
    text.counters(
        "limen_policy_decisions",
        "What policies decided but to let it go on: they answered themselves, failed, or report that they would refuse.",
        totals.iter().map(|(set, count)| (set, *count)),
    );
}

/// What policies took, whether they let it go on or not.
fn hooks(metrics: &Metrics, text: &mut Text) {
    let mut totals = BTreeMap::<_, Total<{ HOOKS.len() }>>::new();
    for worker in lock(&metrics.workers).iter() {
        for (name, meters) in &lock(&worker.named).routes {
            meters.hooks.each(|policy, outcome, timed| {
                let total = totals.entry((name.name.clone(), policy.to_owned(), outcome.name())).or_default();
                timed.add_to(total);
            });
        }
    }
    let totals: Vec<_> = totals
        .into_iter()
        .map(|((route, policy, verdict), total)| {
            let set = LabelSet::default().with("limen_route", &route).with("limen_policy", &policy);
            (set.with("limen_verdict", verdict), total)
        })
        .collect();
    text.histograms(
        "limen_policy_duration_seconds",
        "Time that a policy took of an exchange, with all its hooks: of one exchange in 16, and of all that the access log tells `policies` of or that are traced.",
        &HOOKS,
        NANOS,
        totals.iter().map(|(set, total)| (set, total)),
    );
}

/// Attempts at upstreams.
fn client(metrics: &Metrics, text: &mut Text) {
    let mut totals = BTreeMap::<_, Total<{ DURATIONS.len() }>>::new();
    for worker in lock(&metrics.workers).iter() {
        for (name, meters) in &lock(&worker.named).upstreams {
            for (labels, series) in meters.iter() {
                series.duration.add_to(totals.entry((name.clone(), labels)).or_default());
            }
        }
    }
    let totals: Vec<_> = totals
        .into_iter()
        .map(|((upstream, labels), total)| {
            (with(LabelSet::default().with("limen_upstream", upstream), labels), total)
        })
        .collect();
    text.histograms(
        "http_client_request_duration_seconds",
        "Time from an attempt at an upstream to the head of its response, or to its failure.",
        &DURATIONS,
        NANOS,
        totals.iter().map(|(set, total)| (set, total)),
    );
}

/// Copies that routes send to a second upstream.
fn mirrors(snapshot: &Snapshot, text: &mut Text) {
    let (mut ended, mut under_way) = (Vec::new(), Vec::new());
    for route in &snapshot.routes {
        let Some(mirror) = route.action.mirror() else { continue };
        let set = || LabelSet::default().with("limen_route", &route.facts.name);
        let MirrorCounts { in_flight, answered, failed, skipped } = mirror.counts();
        for (outcome, count) in [("answered", answered), ("failed", failed), ("skipped", skipped)] {
            ended.push((set().with("outcome", outcome), count));
        }
        under_way.push((set(), in_flight as f64));
    }
    let ended = ended.iter().map(|(set, count)| (set, *count));
    text.counters(
        "limen_mirror_copies",
        "Copies of requests for a second upstream, by what became of them.",
        ended,
    );
    let under_way = under_way.iter().map(|(set, count)| (set, *count));
    text.gauges("limen_mirror_in_flight", "Copies of requests that are under way.", under_way);
}

/// What became of lines and spans on their way out.
fn logs_and_spans(text: &mut Text) {
    let dropped = output::dropped().into_iter();
    let dropped: Vec<_> =
        dropped.map(|(to, lines)| (LabelSet::default().with("output", output::name(&to)), lines)).collect();
    text.counters(
        "limen_log_dropped_lines",
        "Lines of the log that were dropped, because whoever reads them is slow or gone.",
        dropped.iter().map(|(set, lines)| (set, *lines)),
    );
    let mut spans = [("exported", 0), ("dropped", 0), ("failed", 0)];
    let exporters = export::all();
    for counts in &exporters {
        let of_one = [&counts.exported, &counts.dropped, &counts.failed];
        for ((_, sum), count) in spans.iter_mut().zip(of_one) {
            *sum += count.load(Relaxed);
        }
    }
    let spans = spans.map(|(outcome, count)| (LabelSet::default().with("outcome", outcome), count));
    let spans = spans.iter().filter(|_| !exporters.is_empty());
    text.counters(
        "limen_trace_spans",
        "What became of spans: exported, dropped at a full queue, or failed to reach the collector.",
        spans.map(|(set, count)| (set, *count)),
    );
}

/// The process and what it runs.
fn about(snapshot: &Snapshot, reloads: &Record, text: &mut Text) {
    let build = LabelSet::default().with("version", env!("CARGO_PKG_VERSION"));
    text.gauges("limen_build_info", "Which version this is.", [(&build, 1.0)]);
    let result = |result| LabelSet::default().with("result", result);
    text.counters(
        "limen_reloads",
        "Reloads of the configuration since the start, by what became of them.",
        [(&result("applied"), reloads.applied()), (&result("refused"), reloads.refused())],
    );
    let none = LabelSet::default();
    text.counters(
        "limen_panics",
        "Panics, each a bug in limen: the connection or stream is lost that it happened on.",
        [(&none, thread::panics())],
    );
    if let Some(last) = reloads.last() {
        let at = last.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        text.gauges(
            "limen_last_reload_applied",
            "1 if the last reload was applied, 0 if it was refused and the configuration before it serves on.",
            [(&none, f64::from(u8::from(last.result.is_ok())))],
        );
        let kept_back = last.result.as_ref().map_or(0, Vec::len);
        text.gauges(
            "limen_last_reload_kept_back",
            "How many plugins it left on their last good version: theirs of the files can't be used.",
            [(&none, kept_back as f64)],
        );
        text.gauges("limen_last_reload_time_seconds", "When that was.", [(&none, at.as_secs_f64())]);
    }
    let plugins: Vec<_> = snapshot
        .plugins
        .iter()
        .map(|(name, plugin)| {
            LabelSet::default().with("limen_plugin", name).with("version", plugin.version.id())
        })
        .collect();
    text.gauges(
        "limen_plugin_info",
        "Which version of each plugin is in force: the beginning of its digest.",
        plugins.iter().map(|set| (set, 1.0)),
    );
    text.gauges("limen_routes", "Routes of the configuration.", [(&none, snapshot.routes.len() as f64)]);
}

fn of_route(route: &RouteName) -> LabelSet {
    LabelSet::default().with("limen_route", &route.name).with("http_route", &route.path)
}

fn with(set: LabelSet, labels: Labels) -> LabelSet {
    let Labels { method, status, scheme, error, reason, overflow } = labels;
    if overflow {
        return set.with("otel_metric_overflow", true);
    }
    let set = set.with("http_request_method", method.name()).with("url_scheme", scheme.name());
    let set = match status {
        Some(status) => set.with("http_response_status_code", status.as_u16()),
        None => set,
    };
    let set = match (error, status) {
        ("", Some(status)) if status.is_server_error() => set.with("error_type", status.as_u16()),
        (error, _) => set.with("error_type", error),
    };
    set.with("limen_reason", reason)
}

fn methods_and_schemes() -> impl Iterator<Item = (KnownMethod, Scheme)> {
    KnownMethod::ALL.into_iter().flat_map(|method| Scheme::ALL.map(|scheme| (method, scheme)))
}

impl ServerTotal {
    fn add(&mut self, series: &ServerSeries) {
        series.duration.add_to(&mut self.duration);
        series.request_size.add_to(&mut self.request_size);
        series.response_size.add_to(&mut self.response_size);
    }
}
