//! Results of checks in a row.

#[derive(Debug, Default)]
pub struct Tally {
    verdict: Verdict,
    /// How many results in a row speak against it.
    against: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Verdict {
    /// The first result will decide.
    #[default]
    Unknown,
    Healthy,
    Unhealthy,
}

impl Tally {
    pub fn is_healthy(&self) -> bool {
        self.verdict == Verdict::Healthy
    }

    /// Takes a result. Answers whether the verdict is another than before.
    pub fn take(&mut self, passed: bool, healthy: usize, unhealthy: usize) -> bool {
        let said = if passed { Verdict::Healthy } else { Verdict::Unhealthy };
        if said == self.verdict {
            self.against = 0;
            return false;
        }
        self.against += 1;
        let enough = match self.verdict {
            Verdict::Unknown => 1,
            Verdict::Healthy => unhealthy,
            Verdict::Unhealthy => healthy,
        };
        if self.against < enough {
            return false;
        }
        *self = Tally { verdict: said, against: 0 };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_decides_and_then_it_takes_several_in_a_row() {
        let mut tally = Tally::default();
        let mut take = |passed| {
            tally.take(passed, 2, 3);
            tally.is_healthy()
        };
        let results = [true, false, false, true, false, false, false, true, false, true, true];
        let verdicts = [true, true, true, true, true, true, false, false, false, false, true];
        assert_eq!(results.map(&mut take), verdicts);
        let mut sick = Tally::default();
        assert!(sick.take(false, 2, 3) && !sick.is_healthy());
    }
}
