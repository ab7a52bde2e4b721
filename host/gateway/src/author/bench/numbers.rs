//! Medians, and how far they spread.

use serde_json::{Value, json};

/// What many measurements of one thing came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Numbers {
    pub median: f64,
    /// A quarter of them is below, a quarter above.
    pub low: f64,
    pub high: f64,
    pub count: usize,
}

impl Numbers {
    pub fn of(mut measured: Vec<f64>) -> Self {
        measured.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = measured.len().saturating_sub(1) as f64;
            measured.get((last * share).round() as usize).copied().unwrap_or_default()
        };
        Numbers { median: at(0.5), low: at(0.25), high: at(0.75), count: measured.len() }
    }

    /// Whether half of them are further apart than a third of what they are about.
    pub fn is_spread(&self) -> bool {
        self.high - self.low > (self.median / 3.0).max(1.0)
    }

    pub fn json(&self) -> Value {
        let Numbers { median, low, high, count } = self;
        json!({ "median": median, "low": low, "high": high, "count": count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_that_are_far_off_move_nothing() {
        let numbers = Numbers::of(vec![30.0, 10.0, 29.0, 31.0, 1000.0]);
        assert_eq!(numbers, Numbers { median: 30.0, low: 29.0, high: 31.0, count: 5 });
        assert_eq!(Numbers::of(Vec::new()), Numbers::default());
        assert!(Numbers::of(vec![1.0, 10.0, 20.0]).is_spread() && !numbers.is_spread());
    }
}
