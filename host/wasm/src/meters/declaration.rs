//! What a component says of its metrics in `describe`.

use serde::Deserialize;

/// Metrics of one plugin.
const MAX_METRICS: usize = 64;
/// Labels of one metric.
const MAX_LABELS: usize = 8;
/// Bounds of one histogram.
const MAX_BUCKETS: usize = 32;
/// The longest name, and the longest help.
const LONGEST_NAME: usize = 64;
const LONGEST_HELP: usize = 256;
/// Where nothing else is declared.
const BUCKETS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// One metric.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Declaration {
    /// Without the unit.
    pub name: String,
    pub kind: Kind,
    #[serde(default)]
    pub unit: String,
    pub help: String,
    #[serde(default)]
    pub labels: Vec<String>,
    /// Upper bounds of a histogram.
    #[serde(default)]
    pub buckets: Vec<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Counter,
    Histogram,
}

impl Declaration {
    /// `plugin_wait_seconds`; counters get their `_total` when they are written.
    pub fn shown(&self) -> String {
        match self.unit.as_str() {
            "" => format!("plugin_{}", self.name),
            unit => format!("plugin_{}_{unit}", self.name),
        }
    }
}

/// What is wrong with them; what is left out is filled in.
pub(crate) fn check(declarations: &mut [Declaration]) -> Result<(), String> {
    if declarations.len() > MAX_METRICS {
        return Err(format!("it declares {} metrics; {MAX_METRICS} are allowed", declarations.len()));
    }
    let mut names = std::collections::HashSet::new();
    for declaration in declarations {
        let Declaration { name, kind, unit, help, labels, buckets } = declaration;
        let wrong = |what: &str| Err(format!("its metric `{name}` {what}"));
        if !is_name(name) {
            return wrong("is not called by lower-case letters, digits and `_`, or by more than 64 of them");
        }
        if !names.insert(name.clone()) {
            return wrong("is declared twice");
        }
        if !unit.is_empty() && !is_name(unit) {
            return wrong("has a unit that is not a word in lower case, like `seconds` or `bytes`");
        }
        if help.is_empty() || help.len() > LONGEST_HELP || help.chars().any(char::is_control) {
            return wrong("needs a help of one line, of 256 bytes at most");
        }
        if labels.len() > MAX_LABELS {
            return wrong("has more than 8 labels");
        }
        let is_ours =
            |label: &String| label.starts_with("limen_") || label.starts_with("otel_") || label == "le";
        if labels.iter().any(|label| !is_name(label) || is_ours(label)) {
            return wrong(
                "has a label that is no lower-case word, or is called `le`, `limen_...` or `otel_...`",
            );
        }
        let go_up =
            buckets.is_sorted_by(|one, next| one < next) && buckets.iter().all(|bound| bound.is_finite());
        if buckets.len() > MAX_BUCKETS || !go_up {
            return wrong("has more than 32 buckets, or their bounds don't go up");
        }
        match kind {
            Kind::Counter => buckets.clear(),
            Kind::Histogram if buckets.is_empty() => buckets.extend(BUCKETS),
            Kind::Histogram => {}
        }
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_shown_is_refused() {
        let good = Declaration {
            name: "wait".into(),
            kind: Kind::Histogram,
            unit: "seconds".into(),
            help: "Waited.".into(),
            labels: vec!["why".into()],
            buckets: vec![],
        };
        let mut checked = [good.clone()];
        assert_eq!(check(&mut checked), Ok(()));
        assert_eq!(checked[0].buckets, BUCKETS);
        for wrong in [
            Declaration { name: "Wait".into(), ..good.clone() },
            Declaration { name: String::new(), ..good.clone() },
            Declaration { name: "w".repeat(65), ..good.clone() },
            Declaration { unit: "µs".into(), ..good.clone() },
            Declaration { help: "a\nb".into(), ..good.clone() },
            Declaration { help: String::new(), ..good.clone() },
            Declaration { labels: vec!["le".into()], ..good.clone() },
            Declaration { labels: vec!["limen_plugin".into()], ..good.clone() },
            Declaration { labels: vec!["l".into(); 9], ..good.clone() },
            Declaration { buckets: vec![1.0, 1.0], ..good.clone() },
            Declaration { buckets: vec![f64::NAN, 1.0], ..good.clone() },
        ] {
            assert!(check(&mut [wrong.clone()]).is_err(), "{wrong:?}");
        }
        assert!(check(&mut [good.clone(), good]).is_err(), "twice");
    }
}
