//! What the policies `cache` keep, and how often it was of use.

use limen_policy::native::CacheReading;

use super::text::{LabelSet, Text};
use crate::snapshot::Snapshot;

pub fn render(snapshot: &Snapshot, text: &mut Text) {
    let caches = snapshot.caches().into_iter();
    let known: Vec<_> =
        caches.map(|(name, shelf)| (LabelSet::default().with("limen_cache", &name), shelf.read())).collect();
    let mut counters = |name, help, count: fn(&CacheReading) -> u64| {
        text.counters(name, help, known.iter().map(|(set, reading)| (set, count(reading))));
    };
    counters("limen_cache_hits", "Requests answered with a fresh response that was in the cache.", |it| {
        it.hits
    });
    counters(
        "limen_cache_stale",
        "Requests answered with a stale one, because of errors (misses as well) or while a newer one is asked for.",
        |it| it.stale,
    );
    counters("limen_cache_validated", "Responses that the upstream has said are still good.", |it| {
        it.validated
    });
    counters(
        "limen_cache_misses",
        "Requests that went to the upstream, for an answer to keep or to validate.",
        |it| it.misses,
    );
    counters("limen_cache_passed", "Requests whose answers are not kept.", |it| it.passed);
    counters("limen_cache_collapsed", "Requests answered with what another one has brought.", |it| {
        it.collapsed
    });
    counters("limen_cache_stored", "New responses put into the cache.", |it| it.stored);
    counters("limen_cache_evictions", "Responses that had to go because memory was full.", |it| it.evicted);
    counters(
        "limen_cache_disk_hits",
        "Requests answered with what was on the disk only; hits as well.",
        |it| it.from_disk,
    );
    counters("limen_cache_disk_skipped", "Responses that were not written to the disk.", |it| it.skipped);
    counters("limen_cache_disk_damaged", "Files of the disk that were damaged.", |it| it.damaged);
    let mut gauges = |name, help, value: fn(&CacheReading) -> u64| {
        text.gauges(name, help, known.iter().map(|(set, reading)| (set, value(reading) as f64)));
    };
    gauges("limen_cache_urls", "URLs in the cache, about.", |it| it.urls);
    gauges("limen_cache_size_bytes", "What they take of its `size`, about.", |it| it.bytes);
    gauges("limen_cache_disk_size_bytes", "What they take of the disk, about.", |it| it.disk_bytes);
}
