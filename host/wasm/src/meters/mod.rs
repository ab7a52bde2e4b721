//! What plugins count of their own: declared by name in `describe`, added to by isolates, read by a scrape.
//!
//! Shared by all workers, isolates and versions of a plugin. What is not declared, and what there are too
//! many of, does not grow.

mod clash;
mod declaration;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;

pub(crate) use declaration::check;
pub use declaration::{Declaration, Kind};

/// Series (combinations of labels) of one plugin; what goes beyond is counted in one series of its metric.
const MAX_SERIES: usize = 1000;
/// The longest value of a label, in bytes; the rest is left out.
const LONGEST_VALUE: usize = 128;
/// Between the values of labels in a key. In a value it would only mix up a plugin's own labels.
const SEPARATOR: char = '\u{1f}';
/// The key of what goes beyond [`MAX_SERIES`].
const OVERFLOW: &str = "\u{1e}";

/// The metrics of all plugins, by their names: they outlive versions, so that they never go back.
#[derive(Default)]
pub(crate) struct AllMeters(Mutex<HashMap<String, Arc<Shared>>>);

/// The metrics of one version of a plugin.
pub struct Meters {
    families: Vec<Arc<Family>>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    families: Mutex<Vec<Arc<Family>>>,
    series: AtomicUsize,
    dropped: [AtomicU64; Dropped::ALL.len()],
}

struct Family {
    declaration: Declaration,
    series: DashMap<Box<str>, Series>,
}

struct Series {
    /// A counter's value, or how many there were in each bucket and above all of them.
    counts: Box<[AtomicU64]>,
    /// Of what was observed: the bits of an `f64`.
    sum: AtomicU64,
}

/// Why something was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// No metric of that name and kind is declared.
    Undeclared,
    /// A label that the metric doesn't declare.
    Label,
    /// Not a number, or without an end.
    Value,
}

/// What a metric has come to.
pub struct Reading<'a> {
    pub declaration: &'a Declaration,
    pub series: Vec<SeriesReading>,
}

/// What one series has come to.
pub struct SeriesReading {
    /// The values of the declared labels, in their order. None: what went beyond the number of series.
    pub labels: Option<Vec<String>>,
    /// A counter's value, or how many there were in each bucket and above all of them.
    pub counts: Vec<u64>,
    pub sum: f64,
}

impl AllMeters {
    /// Those of a version of a plugin. A metric that is declared in another way than before begins anew.
    pub(crate) fn of(&self, plugin: &str, declarations: &[Declaration]) -> Arc<Meters> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = all.entry(plugin.to_owned()).or_default().clone();
        let mut known = shared.families.lock().unwrap_or_else(PoisonError::into_inner);
        let family = |declaration: &Declaration| {
            if let Some(family) = known.iter().find(|family| family.declaration == *declaration) {
                return family.clone();
            }
            clash::warn(plugin, declaration, &all);
            let family =
                Arc::new(Family { declaration: declaration.clone(), series: DashMap::with_shard_amount(8) });
            let (old, others) = std::mem::take(&mut *known)
                .into_iter()
                .partition(|family: &Arc<Family>| family.declaration.name == declaration.name);
            *known = others;
            known.push(family.clone());
            let gone: Vec<Arc<Family>> = old;
            if let Some(before) = gone.first() {
                clash::warn_of_version(plugin, declaration, &before.declaration);
            }
            shared.series.fetch_sub(gone.iter().map(|family| family.series.len()).sum(), Relaxed);
            family
        };
        let families = declarations.iter().map(family).collect();
        drop(known);
        Arc::new(Meters { families, shared })
    }
}

impl Meters {
    pub(crate) fn add(&self, name: &str, delta: u64, labels: &[(String, String)]) {
        self.record(name, Kind::Counter, labels, |series, _| {
            if let Some(value) = series.counts.first() {
                value.fetch_add(delta, Relaxed);
            }
        });
    }

    pub(crate) fn observe(&self, name: &str, value: f64, labels: &[(String, String)]) {
        if !value.is_finite() {
            return self.drop_one(Dropped::Value);
        }
        self.record(name, Kind::Histogram, labels, |series, declaration| {
            let bucket = declaration.buckets.iter().take_while(|bound| value > **bound).count();
            if let Some(count) = series.counts.get(bucket) {
                count.fetch_add(1, Relaxed);
            }
            let add = |sum| Some((f64::from_bits(sum) + value).to_bits());
            let _ = series.sum.fetch_update(Relaxed, Relaxed, add); // `add` always has an answer
        });
    }

    /// What each of them has come to.
    pub fn read(&self) -> impl Iterator<Item = Reading<'_>> {
        self.families.iter().map(|family| {
            let mut series: Vec<_> =
                family.series.iter().map(|entry| (entry.key().clone(), entry.read())).collect();
            series.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            let count = family.declaration.labels.len();
            let series = series.into_iter().map(|(key, (counts, sum))| SeriesReading {
                labels: (*key != *OVERFLOW)
                    .then(|| key.splitn(count, SEPARATOR).map(str::to_owned).collect()),
                counts,
                sum,
            });
            Reading { declaration: &family.declaration, series: series.collect() }
        })
    }

    /// How often something was not counted, and why.
    pub fn dropped(&self) -> [(Dropped, u64); Dropped::ALL.len()] {
        Dropped::ALL
            .map(|why| (why, self.shared.dropped.get(why as usize).map_or(0, |count| count.load(Relaxed))))
    }

    fn record(
        &self,
        name: &str,
        kind: Kind,
        labels: &[(String, String)],
        record: impl FnOnce(&Series, &Declaration),
    ) {
        let mut declared = self.families.iter();
        let declared =
            declared.find(|family| family.declaration.name == name && family.declaration.kind == kind);
        let Some(family) = declared else { return self.drop_one(Dropped::Undeclared) };
        let Some(key) = family.key(labels) else { return self.drop_one(Dropped::Label) };
        if let Some(series) = family.series.get(&*key) {
            return record(&series, &family.declaration);
        }
        // One of several at the same time may come to be one too many, which does no harm.
        let key = if self.shared.series.load(Relaxed) < MAX_SERIES { &*key } else { OVERFLOW };
        let series = family.series.entry(key.into()).or_insert_with(|| {
            self.shared.series.fetch_add(1, Relaxed);
            Series::of(&family.declaration)
        });
        record(&series, &family.declaration);
    }

    fn drop_one(&self, why: Dropped) {
        if let Some(count) = self.shared.dropped.get(why as usize) {
            count.fetch_add(1, Relaxed);
        }
    }
}

impl Family {
    /// The values of the declared labels, in their order; none if there are others.
    fn key(&self, labels: &[(String, String)]) -> Option<String> {
        let declared = &self.declaration.labels;
        if labels.iter().any(|(name, _)| !declared.contains(name)) {
            return None;
        }
        let mut key = String::new();
        for (number, name) in declared.iter().enumerate() {
            if number > 0 {
                key.push(SEPARATOR);
            }
            let value = labels.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
            key.push_str(value.get(..value.floor_char_boundary(LONGEST_VALUE)).unwrap_or_default());
        }
        Some(key)
    }
}

impl Series {
    fn of(declaration: &Declaration) -> Self {
        let counts = match declaration.kind {
            Kind::Counter => 1,
            Kind::Histogram => declaration.buckets.len() + 1,
        };
        let counts = (0..counts).map(|_| AtomicU64::new(0)).collect();
        Series { counts, sum: AtomicU64::new(0f64.to_bits()) }
    }

    fn read(&self) -> (Vec<u64>, f64) {
        let counts = self.counts.iter().map(|count| count.load(Relaxed)).collect();
        (counts, f64::from_bits(self.sum.load(Relaxed)))
    }
}

impl Dropped {
    pub const ALL: [Dropped; 3] = [Dropped::Undeclared, Dropped::Label, Dropped::Value];

    pub fn name(self) -> &'static str {
        match self {
            Dropped::Undeclared => "undeclared",
            Dropped::Label => "label",
            Dropped::Value => "value",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> Vec<Declaration> {
        let json = r#"[
            { "name": "refused", "kind": "counter", "help": "Refused.", "labels": ["why", "who"] },
            { "name": "wait", "kind": "histogram", "help": "Waited.", "unit": "seconds", "buckets": [1, 2.5] }
        ]"#;
        let mut declared: Vec<Declaration> = serde_json::from_str(json).unwrap();
        check(&mut declared).unwrap();
        declared
    }

    fn labels(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn total(meters: &Meters, name: &str) -> (usize, u64) {
        let reading = meters.read().find(|reading| reading.declaration.name == name).unwrap();
        (reading.series.len(), reading.series.iter().map(|series| series.counts[0]).sum())
    }

    #[test]
    fn what_is_declared_is_counted_and_the_rest_is_not() {
        let all = AllMeters::default();
        let meters = all.of("a", &declared());
        meters.add("refused", 2, &labels(&[("who", "ada"), ("why", "x")]));
        meters.add("refused", 1, &labels(&[("why", "x"), ("who", "ada")]));
        meters.add("refused", 1, &[]);
        for value in [0.5, 1.0, 2.0, 99.0] {
            meters.observe("wait", value, &[]);
        }
        let readings: Vec<_> = meters.read().collect();
        assert_eq!(readings[0].series[0].labels, Some(vec![String::new(), String::new()]));
        assert_eq!(readings[0].series[1].labels, Some(vec!["x".to_owned(), "ada".to_owned()]));
        assert_eq!(readings[0].series[1].counts, [3]);
        assert_eq!((&*readings[1].series[0].counts, readings[1].series[0].sum), (&[2, 1, 1][..], 102.5));

        meters.add("unheard-of", 1, &[]);
        meters.add("wait", 1, &[]);
        meters.observe("refused", 1.0, &[]);
        meters.add("refused", 1, &labels(&[("where", "x")]));
        meters.observe("wait", f64::NAN, &[]);
        assert_eq!(meters.dropped().map(|(_, count)| count), [3, 1, 1]);

        let next = all.of("a", &declared());
        assert_eq!(total(&next, "refused"), (2, 4), "the next version goes on");
        assert_eq!(total(&all.of("b", &declared()), "refused"), (0, 0));
        let mut other = declared();
        other[0].labels.pop();
        assert_eq!(total(&all.of("a", &other), "refused"), (0, 0), "another metric by the same name");
    }

    #[test]
    fn series_are_bounded() {
        let meters = AllMeters::default().of("a", &declared());
        for number in 0..3 * MAX_SERIES {
            meters.add("refused", 1, &labels(&[("who", &number.to_string())]));
        }
        let (series, sum) = total(&meters, "refused");
        assert_eq!((series, sum), (MAX_SERIES + 1, 3 * MAX_SERIES as u64));
        meters.add("refused", 1, &labels(&[("who", &"x".repeat(LONGEST_VALUE))]));
        meters.add("refused", 1, &labels(&[("who", &"x".repeat(LONGEST_VALUE + 1))]));
        assert_eq!(total(&meters, "refused").0, MAX_SERIES + 1);
    }
}
