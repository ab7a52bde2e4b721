//! What plugins do of their own accord, and the stores that they share.

use super::text::{LabelSet, Text};
use crate::snapshot::Snapshot;

pub fn render(snapshot: &Snapshot, text: &mut Text) {
    calls(snapshot, text);
    ticks(snapshot, text);
    stores(snapshot, text);
}

fn calls(snapshot: &Snapshot, text: &mut Text) {
    let callers = || snapshot.plugins.iter().filter(|(_, plugin)| plugin.calls_out);
    let mut ended = Vec::new();
    for (name, plugin) in callers() {
        for (upstream, outcome, count) in plugin.counted.ended() {
            let set = LabelSet::default().with("limen_plugin", name).with("limen_upstream", upstream);
            ended.push((set.with("outcome", outcome), count));
        }
    }
    text.counters(
        "limen_plugin_fetches",
        "Calls of plugins to upstreams, by what became of them.",
        ended.iter().map(|(set, count)| (set, *count)),
    );
    let under_way: Vec<_> = callers()
        .map(|(name, plugin)| {
            (LabelSet::default().with("limen_plugin", name), plugin.counted.under_way() as f64)
        })
        .collect();
    text.gauges(
        "limen_plugin_fetches_in_flight",
        "Calls of plugins to upstreams that are under way.",
        under_way.iter().map(|(set, count)| (set, *count)),
    );
}

fn ticks(snapshot: &Snapshot, text: &mut Text) {
    let mut ended = Vec::new();
    for (name, plugin) in snapshot.plugins.iter().filter(|(_, plugin)| !plugin.tickers.is_empty()) {
        let (succeeded, failed) = plugin.counted.ticks();
        for (outcome, count) in [("succeeded", succeeded), ("failed", failed)] {
            let set = LabelSet::default().with("limen_plugin", name).with("outcome", outcome);
            ended.push((set, count));
        }
    }
    text.counters(
        "limen_plugin_ticks",
        "Calls of plugins beside all exchanges, by what became of them.",
        ended.iter().map(|(set, count)| (set, *count)),
    );
}

fn stores(snapshot: &Snapshot, text: &mut Text) {
    let sizes: Vec<_> = snapshot
        .stores
        .iter()
        .filter_map(|(terms, store)| {
            Some((LabelSet::default().with("limen_store", &terms.name), store.size()?))
        })
        .collect();
    text.gauges(
        "limen_store_entries",
        "Entries of a store in memory, about.",
        sizes.iter().map(|(set, (entries, _))| (set, *entries as f64)),
    );
    text.gauges(
        "limen_store_size_bytes",
        "What they take, about.",
        sizes.iter().map(|(set, (_, bytes))| (set, *bytes as f64)),
    );
}
