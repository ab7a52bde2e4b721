//! Metrics of the policy's own, which operators read beside the gateway's. Needs the grant `metrics = true`.
//!
//! They are declared with the policy, and shared by all isolates and versions of the plugin:
//!
//! ```
//! use limen::metrics::Metric;
//! use limen::prelude::*;
//!
//! /// Shown as `plugin_refused_total{limen_plugin="...",why="..."}`.
//! const REFUSED: Metric = Metric::counter("refused", "Requests that were refused.").labels(&["why"]);
//!
//! struct Guard;
//!
//! #[limen::policy(metrics = [REFUSED])]
//! impl Guard {
//!     fn configure() -> Result<Self> { Ok(Guard) }
//!
//!     fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
//!         if request.has_header("x-key") { return Ok(Flow::Next); }
//!         REFUSED.add(1, &[("why", "no key")]);
//!         Ok(Reply::new(401).into())
//!     }
//! }
//! ```
//!
//! What is not declared is dropped, and counted as such. At most 64 metrics and 1,000 series (combinations of
//! labels) a plugin; beyond these there is one more for each metric. Each call costs one crossing.

use serde_json::{Value, json};

use crate::host;

/// A metric: declared in `#[limen::policy(metrics = [...])]`, and added to in hooks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    help: &'static str,
    unit: &'static str,
    pub(crate) labels: &'static [&'static str],
    buckets: &'static [f64],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Histogram,
}

impl Metric {
    /// A sum that only goes up. The name is of lower-case letters, digits and `_`; the help is one line.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Metric { name, kind: Kind::Counter, help, unit: "", labels: &[], buckets: &[] }
    }

    /// How values are spread: their count and sum, and how many are below each of some bounds (5 ms to 10 s,
    /// unless [`buckets`](Self::buckets) says otherwise).
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Metric { name, kind: Kind::Histogram, help, unit: "", labels: &[], buckets: &[] }
    }

    /// What is counted or measured, like `seconds` or `bytes`: becomes a part of the name.
    pub const fn unit(self, unit: &'static str) -> Self {
        Metric { unit, ..self }
    }

    /// The names of its labels, at most 8.
    pub const fn labels(self, labels: &'static [&'static str]) -> Self {
        Metric { labels, ..self }
    }

    /// Upper bounds of a histogram, going up, at most 32.
    pub const fn buckets(self, buckets: &'static [f64]) -> Self {
        Metric { buckets, ..self }
    }

    /// Add to a counter. A declared label that is left out is empty.
    pub fn add(&self, delta: u64, labels: &[(&str, &str)]) {
        host::metrics::add(self.name, delta, labels);
    }

    /// Count a value in a histogram.
    pub fn observe(&self, value: f64, labels: &[(&str, &str)]) {
        host::metrics::observe(self.name, value, labels);
    }

    /// As `describe` says it.
    pub(crate) fn declaration(&self) -> Value {
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        };
        json!({
            "name": self.name,
            "kind": kind,
            "help": self.help,
            "unit": self.unit,
            "labels": self.labels,
            "buckets": self.buckets,
        })
    }
}
