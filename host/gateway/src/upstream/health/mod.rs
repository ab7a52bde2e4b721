//! How endpoints are: what checks and requests have told, and what follows from it.

mod ejection;
mod probe;
mod tally;

use std::time::{Duration, Instant};

use limen_config::{Health, Outlier, Upstream as Terms};

use ejection::Ejection;
pub use probe::probe;
use tally::Tally;

/// An endpoint that begins gets this much of its share, in thousandths...
const COLD: u32 = 100;
/// ... and more in steps of this, until it has all of it.
const STEP: u32 = 50;
const WARM: u32 = 1000;

/// All that is known of one endpoint. It takes the time as a value.
#[derive(Debug, Default)]
pub struct State {
    tally: Tally,
    ejection: Ejection,
    last: Option<Check>,
    presence: Presence,
}

/// The last check.
#[derive(Clone, Debug)]
pub struct Check {
    pub ended: Instant,
    pub result: Result<(), String>,
}

/// Whether an endpoint gets requests, for those who want to know why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Healthy,
    /// No check has ended yet.
    Unchecked,
    /// Its checks fail; this is what was wrong at the last one.
    Unhealthy(String),
    /// Requests failed there: it gets none for so long.
    Ejected(Duration),
}

/// Since when an endpoint gets requests.
#[derive(Clone, Copy, Debug, Default)]
enum Presence {
    #[default]
    Absent,
    Since(Instant),
    /// Longer than slow start would take.
    Established,
}

impl State {
    /// That of an endpoint that was there from the beginning: no slow start.
    pub fn established() -> Self {
        State { presence: Presence::Established, ..State::default() }
    }

    /// `is_checked`: there are checks.
    pub fn condition(&self, is_checked: bool, now: Instant) -> Condition {
        if let Some(left) = self.ejection.left(now) {
            return Condition::Ejected(left);
        }
        match &self.last {
            Some(Check { result: Err(reason), .. }) if !self.tally.is_healthy() => {
                Condition::Unhealthy(reason.clone())
            }
            Some(_) if !self.tally.is_healthy() => {
                Condition::Unhealthy("it passes its checks again, but not yet often enough".to_owned())
            }
            None if is_checked => Condition::Unchecked,
            _ => Condition::Healthy,
        }
    }

    pub fn last_check(&self) -> Option<&Check> {
        self.last.as_ref()
    }

    /// Takes the result of a check. Answers whether the endpoint is another than before.
    pub fn checked(&mut self, result: Result<(), String>, terms: &Health, now: Instant) -> bool {
        let changed = self.tally.take(result.is_ok(), terms.healthy, terms.unhealthy);
        self.last = Some(Check { ended: now, result });
        changed
    }

    /// Sends it away. Answers for how long.
    pub fn eject(&mut self, terms: &Outlier, now: Instant) -> Duration {
        self.ejection.begin(terms, now)
    }

    pub fn is_ejected(&self, now: Instant) -> bool {
        self.ejection.left(now).is_some()
    }

    /// Whether it is well at this moment.
    pub fn is_well(&self, terms: &Terms, now: Instant) -> bool {
        let passes = terms.health.is_none() || self.tally.is_healthy();
        passes && !self.is_ejected(now)
    }

    /// Notes whether it is well, and answers how much of its share it gets, in thousandths.
    pub fn warm_up(&mut self, is_well: bool, slow_start: Option<Duration>, now: Instant) -> u32 {
        let since = match (self.presence, is_well) {
            // It was there from the beginning, and nothing is known against it.
            (Presence::Established, false) if self.last.is_none() && self.ejection.is_unknown() => {
                return WARM;
            }
            (_, false) => {
                self.presence = Presence::Absent;
                // Should it be used all the same, then as much as others.
                return WARM;
            }
            (Presence::Absent, true) => now,
            (Presence::Since(since), true) => since,
            (Presence::Established, true) => return WARM,
        };
        let grown = slow_start.and_then(|window| {
            let part = now.saturating_duration_since(since).as_secs_f64() / window.as_secs_f64();
            let warmth = COLD + (part * f64::from(WARM - COLD)) as u32;
            (warmth < WARM).then_some(warmth / STEP * STEP)
        });
        self.presence = if grown.is_some() { Presence::Since(since) } else { Presence::Established };
        grown.unwrap_or(WARM)
    }

    /// When it will be another without anything happening.
    pub fn changes_at(&self, slow_start: Option<Duration>, now: Instant) -> Option<Instant> {
        let warmer = match (self.presence, slow_start) {
            (Presence::Since(_), Some(window)) => {
                Some(now + (window * STEP / WARM).max(Duration::from_millis(10)))
            }
            _ => None,
        };
        let back = self.ejection.left(now).map(|left| now + left);
        warmer.into_iter().chain(back).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::balance::tests::terms;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_new_endpoint_warms_up_and_an_old_one_is_warm() {
        let (now, window) = (Instant::now(), Some(10 * SECOND));
        assert_eq!(State::established().warm_up(true, window, now), WARM);
        let mut new = State::default();
        assert_eq!(new.warm_up(true, window, now), COLD);
        assert!(new.changes_at(window, now).unwrap() <= now + SECOND);
        assert_eq!(new.warm_up(true, window, now + 5 * SECOND), 550);
        assert_eq!(new.warm_up(true, window, now + 10 * SECOND), WARM);
        assert_eq!(new.changes_at(window, now), None);
        // What was away begins anew.
        let outlier = terms("outlier = {}").outlier.unwrap();
        new.eject(&outlier, now + 11 * SECOND);
        new.warm_up(false, window, now + 11 * SECOND);
        assert_eq!(new.warm_up(true, window, now + 12 * SECOND), COLD);
        assert_eq!(State::default().warm_up(true, None, now), WARM);
        // The first check does not make an old one new.
        let mut old = State::established();
        old.warm_up(false, window, now);
        assert_eq!(old.warm_up(true, window, now), WARM);
    }

    #[test]
    fn checks_and_ejections_both_count() {
        let terms = terms("health = { healthy = 1, unhealthy = 2 }\noutlier = { ejection = \"10s\" }");
        let (health, outlier) = (terms.health.as_ref().unwrap(), terms.outlier.as_ref().unwrap());
        let now = Instant::now();
        let mut state = State::default();
        assert!(!state.is_well(&terms, now), "it was never checked");
        assert!(state.checked(Ok(()), health, now));
        assert!(state.is_well(&terms, now));
        assert_eq!(state.eject(outlier, now), 10 * SECOND);
        assert!(!state.is_well(&terms, now + 9 * SECOND));
        assert_eq!(state.condition(true, now + 9 * SECOND), Condition::Ejected(SECOND));
        assert!(state.is_well(&terms, now + 10 * SECOND));
        assert!(!state.checked(Err("no".to_owned()), health, now));
        assert!(state.checked(Err("no".to_owned()), health, now));
        assert_eq!(state.condition(true, now + 10 * SECOND), Condition::Unhealthy("no".to_owned()));
    }
}
