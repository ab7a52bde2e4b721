//! How many requests may be sent again: a share of all of them, by all workers together.

use std::time::{Duration, Instant};

use limen_config::RetryBudget;

use super::tally::Tally;

const WINDOW: Duration = Duration::from_secs(10);

pub struct Budget {
    terms: RetryBudget,
    requests: Tally,
    spent: Tally,
}

/// What a budget says to one more try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spending {
    /// It has been paid for.
    Granted,
    Refused,
}

impl Budget {
    pub fn new(terms: RetryBudget, now: Instant) -> Self {
        let (requests, spent) = (Tally::of_requests(WINDOW, now), Tally::of_rare(WINDOW, now));
        Budget { terms, requests, spent }
    }

    pub fn terms(&self) -> RetryBudget {
        self.terms
    }

    /// A request has come: it pays for a part of a retry.
    pub fn earn(&self, worker: usize, now: Instant) {
        self.requests.add(worker, now);
    }

    /// Asks for one more try. Of two workers that ask at the same time for the last one, each may
    /// be refused, but never both granted.
    pub fn spend(&self, now: Instant) -> Spending {
        let earned = self.requests.count(now) * self.terms.percent as u64 / 100;
        let most = earned.max(self.terms.minimum as u64);
        self.spent.add(0, now);
        if self.spent.count(now) <= most {
            return Spending::Granted;
        }
        self.spent.take_back(0, now);
        Spending::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(budget: &Budget, asked: usize, now: Instant) -> usize {
        (0..asked).filter(|_| budget.spend(now) == Spending::Granted).count()
    }

    #[test]
    fn a_share_of_the_requests_of_all_workers() {
        let begin = Instant::now();
        let budget = Budget::new(RetryBudget { percent: 20, minimum: 3 }, begin);
        assert_eq!(granted(&budget, 10, begin), 3);
        for worker in 0..100 {
            budget.earn(worker, begin);
        }
        assert_eq!(granted(&budget, 100, begin + Duration::from_secs(1)), 17);
        assert_eq!(granted(&budget, 100, begin + Duration::from_secs(8)), 0);
        // What the requests paid for is gone with them, and what was spent a little later.
        assert_eq!(granted(&budget, 100, begin + Duration::from_secs(30)), 3);
    }

    #[test]
    fn none_at_all() {
        let now = Instant::now();
        let budget = Budget::new(RetryBudget { percent: 0, minimum: 0 }, now);
        budget.earn(0, now);
        assert_eq!(budget.spend(now), Spending::Refused);
    }
}
