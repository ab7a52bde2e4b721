//! What plugins count of their own, and what their caches come to.

use std::collections::BTreeMap;

use limen_wasm::CacheReading;
use limen_wasm::meters::{Declaration, Kind, SeriesReading};

use super::text::{Bucketed, LabelSet, Text};
use crate::snapshot::Snapshot;

/// Metrics of one name, of all plugins that declare it alike.
struct Family<'a> {
    declaration: &'a Declaration,
    series: Vec<(LabelSet, SeriesReading)>,
}

pub fn render(snapshot: &Snapshot, text: &mut Text) {
    caches(snapshot, text);
    let mut families = BTreeMap::<String, Family<'_>>::new();
    let mut dropped = Vec::new();
    for (plugin, live) in &snapshot.plugins {
        let Some(meters) = &live.meters else { continue };
        let set = || LabelSet::default().with("limen_plugin", plugin);
        dropped.extend(meters.dropped().map(|(why, count)| (set().with("why", why.name()), count)));
        for reading in meters.read() {
            let declaration = reading.declaration;
            let family = families.entry(declaration.shown());
            let family = family.or_insert_with(|| Family { declaration, series: Vec::new() });
            // A name has one kind: that of the plugin whose name comes first.
            if family.declaration.kind != declaration.kind
                || family.declaration.buckets != declaration.buckets
            {
                let clash = reading.series.iter().flat_map(|series| &series.counts).sum();
                dropped.push((set().with("why", "clash").with("metric", &declaration.name), clash));
                continue;
            }
            let series = reading.series.into_iter();
            family.series.extend(series.map(|series| (labels(set(), declaration, &series), series)));
        }
    }
    for (name, Family { declaration, series }) in &families {
        match declaration.kind {
            Kind::Counter => {
                let value = |series: &SeriesReading| series.counts.first().copied().unwrap_or_default();
                text.counters(
                    name,
                    &declaration.help,
                    series.iter().map(|(set, series)| (set, value(series))),
                );
            }
            Kind::Histogram => {
                let series = series.iter().map(|(set, series)| {
                    (set, Bucketed { bounds: &declaration.buckets, counts: &series.counts, sum: series.sum })
                });
                text.bucketed(name, &declaration.help, series);
            }
        }
    }
    text.counters(
        "limen_plugin_metrics_dropped",
        "What plugins wanted counted and was not: undeclared metrics or labels, values that are no numbers, \
         and metrics that another plugin declares in another way.",
        dropped.iter().map(|(set, count)| (set, *count)),
    );
}

fn caches(snapshot: &Snapshot, text: &mut Text) {
    let plugins = snapshot.plugins.iter();
    let readings = plugins.filter_map(|(plugin, live)| Some((plugin, live.cache.as_ref()?.read())));
    let readings: Vec<_> = readings
        .map(|(plugin, reading)| (LabelSet::default().with("limen_plugin", plugin), reading))
        .collect();
    let mut counters = |name, help, count: fn(&CacheReading) -> u64| {
        text.counters(name, help, readings.iter().map(|(set, cache)| (set, count(cache))));
    };
    let found = "What plugins looked for in their caches and found.";
    counters("limen_plugin_cache_hits", found, |cache| cache.hits);
    counters("limen_plugin_cache_misses", "What they did not find.", |cache| cache.misses);
    let gone = "What had to go because the cache was full; not what had ended.";
    counters("limen_plugin_cache_evictions", gone, |cache| cache.evictions);
    let mut gauges = |name, help, value: fn(&CacheReading) -> u64| {
        text.gauges(name, help, readings.iter().map(|(set, cache)| (set, value(cache) as f64)));
    };
    gauges("limen_plugin_cache_entries", "Entries of a plugin's cache, about.", |cache| cache.entries);
    gauges("limen_plugin_cache_size_bytes", "What they take of its `size`, about.", |cache| cache.bytes);
}

fn labels(set: LabelSet, declaration: &Declaration, series: &SeriesReading) -> LabelSet {
    match &series.labels {
        None => set.with("otel_metric_overflow", true),
        Some(values) => {
            declaration.labels.iter().zip(values).fold(set, |set, (name, value)| set.with(name, value))
        }
    }
}
