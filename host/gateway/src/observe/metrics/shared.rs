//! The store that gateways share: whether it answers, and how quickly.

use limen_store::{BOUNDS, Reading};

use super::text::{Bucketed, LabelSet, Text};
use crate::snapshot::Snapshot;

pub fn render(snapshot: &Snapshot, text: &mut Text) {
    let Some(redis) = snapshot.shared() else { return };
    let up = f64::from(u8::from(redis.is_up()));
    text.gauges(
        "limen_store_up",
        "1 if the store that gateways share answers; 0 if it does not, and is not asked until it does.",
        [(&LabelSet::default(), up)],
    );
    let uses = redis.read().map(|(of, reading)| (LabelSet::default().with("limen_use", of.name()), reading));
    let uses: Vec<_> = uses.collect();
    let failed: Vec<_> = uses
        .iter()
        .flat_map(|(set, Reading { refused, unknown, not_asked, .. })| {
            let of = |outcome, count| (set.clone().with("outcome", outcome), count);
            [of("refused", *refused), of("unknown", *unknown), of("not_asked", *not_asked)]
        })
        .collect();
    text.counters(
        "limen_store_failures",
        "Calls of it that came to nothing: it refused them, it did not answer in time, or it was not asked.",
        failed.iter().map(|(set, count)| (set, *count)),
    );
    text.bucketed(
        "limen_store_call_duration_seconds",
        "How long answers of it took, by what it was asked for.",
        uses.iter().map(|(set, reading)| {
            (set, Bucketed { bounds: &BOUNDS, counts: &reading.answered, sum: reading.seconds })
        }),
    );
}
