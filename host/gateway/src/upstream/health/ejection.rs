//! An endpoint at which requests failed is left alone for a while, each time for longer.

use std::time::{Duration, Instant};

use limen_config::Outlier;

#[derive(Debug, Default)]
pub struct Ejection {
    until: Option<Instant>,
    /// How often in succession.
    times: u32,
}

impl Ejection {
    /// Answers for how long.
    pub fn begin(&mut self, terms: &Outlier, now: Instant) -> Duration {
        let behaved = self.until.is_none_or(|until| now >= until + terms.max_ejection);
        self.times = if behaved { 0 } else { self.times.saturating_add(1) };
        let doubled = terms.ejection.saturating_mul(1_u32.checked_shl(self.times).unwrap_or(u32::MAX));
        let length = doubled.min(terms.max_ejection.max(terms.ejection));
        self.until = Some(now + length);
        length
    }

    /// Whether there never was one.
    pub fn is_unknown(&self) -> bool {
        self.until.is_none()
    }

    /// How long it still lasts; none if it is over.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.until?.checked_duration_since(now).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::tests::terms;

    #[test]
    fn each_one_is_twice_as_long_until_the_endpoint_behaves() {
        let terms = terms("outlier = { ejection = \"10s\", max_ejection = \"60s\" }").outlier.unwrap();
        let mut ejection = Ejection::default();
        let mut now = Instant::now();
        assert_eq!(ejection.left(now), None);
        for seconds in [10, 20, 40, 60, 60] {
            let length = ejection.begin(&terms, now);
            assert_eq!(length, Duration::from_secs(seconds));
            assert_eq!(ejection.left(now), Some(length));
            now += length;
            assert_eq!(ejection.left(now), None);
        }
        assert_eq!(ejection.begin(&terms, now + Duration::from_secs(60)), Duration::from_secs(10));
    }
}
