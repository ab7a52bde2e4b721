//! Keys that are fetched from issuers of tokens.

use super::text::{LabelSet, Text};
use crate::snapshot::Snapshot;

pub fn render(snapshot: &Snapshot, text: &mut Text) {
    let sets = snapshot.vault.key_sets.iter();
    let readings = sets.filter_map(|(name, set)| Some((name, set.renewal()?.reading())));
    let readings: Vec<_> =
        readings.map(|(name, reading)| (LabelSet::default().with("limen_key_set", name), reading)).collect();
    let fetches: Vec<_> = readings
        .iter()
        .flat_map(|(set, reading)| {
            let outcome = |name, count| (set.clone().with("outcome", name), count);
            [outcome("fetched", reading.brought), outcome("failed", reading.failed)]
        })
        .collect();
    text.counters(
        "limen_key_set_fetches",
        "How often the keys of a set were fetched, or could not be.",
        fetches.iter().map(|(set, count)| (set, *count)),
    );
    text.gauges(
        "limen_key_set_keys",
        "Keys of a set that tokens are verified with.",
        readings.iter().map(|(set, reading)| (set, reading.keys as f64)),
    );
    text.gauges(
        "limen_key_set_age_seconds",
        "How long ago the keys of a set were fetched.",
        readings.iter().filter_map(|(set, reading)| Some((set, reading.age?.as_secs_f64()))),
    );
}
