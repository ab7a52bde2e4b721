//! `metrics`: what is declared is counted, the rest is dropped.

use super::current;
use crate::metrics::Kind;

/// Something that was counted: the metric, the values of its labels, and by how much or what.
pub(crate) type Counted = (&'static str, Vec<String>, f64);

pub(crate) fn add(name: &str, delta: u64, labels: &[(&str, &str)]) {
    count(name, Kind::Counter, delta as f64, labels);
}

pub(crate) fn observe(name: &str, value: f64, labels: &[(&str, &str)]) {
    if value.is_finite() {
        count(name, Kind::Histogram, value, labels);
    }
}

fn count(name: &str, kind: Kind, value: f64, labels: &[(&str, &str)]) {
    current(|process, _| {
        let mut declared = process.metrics.iter();
        let Some(metric) = declared.find(|metric| metric.name == name && metric.kind == kind) else { return };
        if labels.iter().all(|(name, _)| metric.labels.contains(name)) {
            let value_of =
                |name: &&str| labels.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
            let values = metric.labels.iter().map(|name| value_of(name).to_owned()).collect();
            process.counted.push((metric.name, values, value));
        }
    });
}
