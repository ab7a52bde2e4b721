//! What plugins have used, on which routes, and how they stand.

use limen_policy::FailureKind;
use limen_wasm::{Standing, Totals};

use super::text::{LabelSet, Number, Text};
use crate::snapshot::Snapshot;

pub fn render(snapshot: &Snapshot, text: &mut Text) {
    let accounts = snapshot.plugins.values().flat_map(|plugin| &plugin.accounts);
    let known: Vec<_> = accounts
        .map(|account| {
            let set = LabelSet::default().with("limen_plugin", account.plugin());
            (set.with("limen_route", account.route().unwrap_or_default()), account.totals())
        })
        .collect();
    let counted = |read: fn(&Totals) -> u64| known.iter().map(move |(set, totals)| (set, read(totals)));
    text.counters(
        "limen_policy_calls",
        "Hooks of plugins that were asked; without a route: beside all of them, by ticks.",
        counted(|it| it.calls),
    );
    text.counters(
        "limen_policy_cpu_seconds",
        "Computing time of plugins, that of their host calls and of making their isolates included.",
        known.iter().map(|(set, totals)| (set, Number(totals.cpu.as_secs_f64()))),
    );
    text.counters(
        "limen_policy_host_calls",
        "Calls of the gateway by hooks of plugins.",
        counted(|it| it.host_calls),
    );
    text.counters(
        "limen_policy_isolates_made",
        "Isolates that were made for an exchange, because none was there.",
        counted(|it| it.isolates_made),
    );
    text.gauges(
        "limen_policy_memory_peak_bytes",
        "The largest memory that an isolate has had.",
        known.iter().map(|(set, totals)| (set, totals.memory_peak as f64)),
    );
    let failures: Vec<_> = known
        .iter()
        .flat_map(|(set, totals)| {
            let kinds = FailureKind::ALL.iter().zip(totals.failures).filter(|(_, count)| *count > 0);
            kinds.map(|(kind, count)| (set.clone().with("kind", kind.name()), count))
        })
        .collect();
    text.counters(
        "limen_policy_failures",
        "Hooks that failed or, held back or without an isolate, were not asked.",
        failures.iter().map(|(set, count)| (set, *count)),
    );
    standing(snapshot, text);
}

fn standing(snapshot: &Snapshot, text: &mut Text) {
    let plugins = snapshot.plugins.iter().filter_map(|(name, plugin)| {
        Some((LabelSet::default().with("limen_plugin", name), plugin.keeper.as_ref()?.standing()))
    });
    let known: Vec<(LabelSet, Standing)> = plugins.collect();
    text.gauges(
        "limen_plugin_isolates",
        "Isolates of the plugin that are in use.",
        known.iter().map(|(set, standing)| (set, standing.in_use as f64)),
    );
    text.gauges(
        "limen_plugin_held_back_workers",
        "Workers that leave the plugin alone because it fails too often.",
        known.iter().map(|(set, standing)| (set, standing.held_back as f64)),
    );
    text.counters(
        "limen_plugin_log_dropped_lines",
        "Lines that the plugin wrote beyond what it may.",
        known.iter().map(|(set, standing)| (set, standing.log_dropped)),
    );
}
