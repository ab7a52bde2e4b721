//! The calls that one plugin makes: to whom it may, how many are under way, what became of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use limen_policy::FetchError;

/// What all plugins of the process have done, by name: it outlives their versions.
#[derive(Default)]
pub(crate) struct Everybodys(Mutex<BTreeMap<String, Arc<Counted>>>);

/// What one plugin does of its own accord: its calls and ticks.
#[derive(Debug, Default)]
pub struct Counted {
    under_way: AtomicUsize,
    by_upstream: Mutex<BTreeMap<String, Arc<Outcomes>>>,
    ticks: AtomicU64,
    failed_ticks: AtomicU64,
}

/// What became of the calls to one upstream.
#[derive(Debug, Default)]
struct Outcomes([AtomicU64; Outcome::ALL.len()]);

/// What one version of a plugin may call.
#[derive(Debug, Default)]
pub(crate) struct Fetches(Vec<Granted>);

/// An upstream that a plugin may call.
#[derive(Clone, Debug)]
pub(crate) struct Granted {
    upstream: Arc<str>,
    counted: Arc<Counted>,
    outcomes: Arc<Outcomes>,
}

/// The right to have one call under way.
pub(crate) struct Right {
    granted: Granted,
    told: bool,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    Unreachable,
    Overloaded,
    TimedOut,
    Broken,
    /// The exchange ended before there was an answer.
    Cancelled,
    /// `limits.fetches` were under way.
    TooMany,
}

impl Everybodys {
    /// Those of a plugin.
    pub(crate) fn of(&self, plugin: &str) -> Arc<Counted> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(plugin.to_owned()).or_default().clone()
    }
}

impl Counted {
    /// Notes a tick that has ended.
    pub fn ticked(&self, succeeded: bool) {
        let count = if succeeded { &self.ticks } else { &self.failed_ticks };
        count.fetch_add(1, Relaxed);
    }

    /// How many ticks have ended well, and how many otherwise.
    pub fn ticks(&self) -> (u64, u64) {
        (self.ticks.load(Relaxed), self.failed_ticks.load(Relaxed))
    }

    /// Calls under way right now.
    pub fn under_way(&self) -> usize {
        self.under_way.load(Relaxed)
    }

    /// Calls by upstream and outcome, since the process was started.
    pub fn ended(&self) -> Vec<(String, &'static str, u64)> {
        let by_upstream = self.by_upstream.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = by_upstream.iter().flat_map(|(upstream, outcomes)| {
            Outcome::ALL
                .into_iter()
                .zip(&outcomes.0)
                .map(|(outcome, count)| (upstream.clone(), outcome.name(), count.load(Relaxed)))
        });
        counts.collect()
    }

    fn outcomes(&self, upstream: &str) -> Arc<Outcomes> {
        let mut all = self.by_upstream.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(upstream.to_owned()).or_default().clone()
    }
}

impl Fetches {
    pub(crate) fn new(counted: &Arc<Counted>, upstreams: &[String]) -> Self {
        let granted = |upstream: &String| Granted {
            upstream: upstream.as_str().into(),
            counted: counted.clone(),
            outcomes: counted.outcomes(upstream),
        };
        Fetches(upstreams.iter().map(granted).collect())
    }

    pub(crate) fn granted(&self, upstream: &str) -> Option<Granted> {
        self.0.iter().find(|granted| *granted.upstream == *upstream).cloned()
    }

    /// None if too many are under way.
    pub(crate) fn begin(granted: &Granted, most: usize) -> Option<Right> {
        let mut right = Right { granted: granted.clone(), told: false };
        if granted.counted.under_way.fetch_add(1, Relaxed) < most {
            return Some(right);
        }
        right.ended(Outcome::TooMany);
        None
    }
}

impl Right {
    pub(crate) fn ended(&mut self, outcome: Outcome) {
        self.told = true;
        if let Some(count) = self.granted.outcomes.0.get(outcome as usize) {
            count.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Right {
    fn drop(&mut self) {
        if !self.told {
            self.ended(Outcome::Cancelled);
        }
        self.granted.counted.under_way.fetch_sub(1, Relaxed);
    }
}

impl Outcome {
    const ALL: [Outcome; 7] = [
        Outcome::Answered,
        Outcome::Unreachable,
        Outcome::Overloaded,
        Outcome::TimedOut,
        Outcome::Broken,
        Outcome::Cancelled,
        Outcome::TooMany,
    ];

    pub(crate) fn of(error: Option<FetchError>) -> Self {
        match error {
            None => Outcome::Answered,
            Some(FetchError::Unreachable) => Outcome::Unreachable,
            Some(FetchError::Overloaded) => Outcome::Overloaded,
            Some(FetchError::TimedOut) => Outcome::TimedOut,
            Some(FetchError::Broken) => Outcome::Broken,
        }
    }

    /// As metrics name it.
    fn name(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::Unreachable => "unreachable",
            Outcome::Overloaded => "overloaded",
            Outcome::TimedOut => "timed_out",
            Outcome::Broken => "broken",
            Outcome::Cancelled => "cancelled",
            Outcome::TooMany => "too_many",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_limit_are_under_way_and_each_ends_once() {
        let counted = Arc::<Counted>::default();
        let fetches = Fetches::new(&counted, &["a".to_owned()]);
        assert!(fetches.granted("b").is_none());
        let granted = fetches.granted("a").unwrap();
        let mut first = Fetches::begin(&granted, 2).unwrap();
        let second = Fetches::begin(&granted, 2).unwrap();
        assert!(Fetches::begin(&granted, 2).is_none());
        assert_eq!(counted.under_way(), 2);
        first.ended(Outcome::Answered);
        drop((first, second));
        assert_eq!(counted.under_way(), 0);
        let ended: Vec<_> = counted.ended().into_iter().filter(|(_, _, count)| *count > 0).collect();
        let of_a = |outcome| ("a".to_owned(), outcome, 1);
        assert_eq!(ended, [of_a("answered"), of_a("cancelled"), of_a("too_many")]);
    }
}
