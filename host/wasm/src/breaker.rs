//! Whether a plugin is asked at all: one that traps or burns its limits often is left alone for a while.
//!
//! Each worker has one for each plugin, so that nobody shares anything for it.

use std::time::{Duration, Instant};

use limen_config::PluginBreaker;

/// It stays open at most so many times as long as the first time.
const LONGEST: u32 = 10;

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// How the last calls ended, the newest in the lowest bit; 1: badly.
    outcomes: u64,
    /// How many of these there are.
    calls: u32,
    state: State,
    /// How often in a row it has opened.
    opened: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    /// One exchange tries whether it is better now.
    Probing,
}

/// What an exchange is let through as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    Normally,
    AsProbe,
}

/// What is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Opened { bad: u32, of: u32, pause: Duration },
    Closed,
}

impl Breaker {
    /// None: it is open.
    pub(crate) fn admit(&mut self, now: Instant) -> Option<Admitted> {
        match self.state {
            State::Closed => Some(Admitted::Normally),
            State::Open { until } if now >= until => {
                self.state = State::Probing;
                Some(Admitted::AsProbe)
            }
            State::Open { .. } | State::Probing => None,
        }
    }

    /// A call has ended.
    pub(crate) fn record(
        &mut self,
        bad: bool,
        as_probe: bool,
        now: Instant,
        terms: &PluginBreaker,
    ) -> Option<Change> {
        match self.state {
            State::Probing if as_probe && bad => Some(self.open(1, 1, now, terms)),
            State::Probing if as_probe => {
                *self = Breaker::default();
                Some(Change::Closed)
            }
            State::Closed => {
                let of = u32::try_from(terms.calls).unwrap_or(u32::MAX).clamp(1, 64);
                self.outcomes = (self.outcomes << 1) | u64::from(bad);
                self.calls = (self.calls + 1).min(of);
                let recent = self.outcomes & (u64::MAX >> (64 - of));
                let too_many = u64::from(recent.count_ones()) * 100 >= terms.errors as u64 * u64::from(of);
                (self.calls == of && bad && too_many).then(|| self.open(recent.count_ones(), of, now, terms))
            }
            // Of an exchange that began before it opened.
            State::Open { .. } | State::Probing => None,
        }
    }

    /// The probe is gone without having said anything: the next one is one.
    pub(crate) fn probe_lost(&mut self, now: Instant) {
        if self.state == State::Probing {
            self.state = State::Open { until: now };
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn open(&mut self, bad: u32, of: u32, now: Instant, terms: &PluginBreaker) -> Change {
        let times = 1_u32.checked_shl(self.opened).unwrap_or(LONGEST).min(LONGEST);
        let pause = terms.open.saturating_mul(times);
        *self = Breaker {
            opened: (self.opened + 1).min(LONGEST),
            state: State::Open { until: now + pause },
            ..Breaker::default()
        };
        Change::Opened { bad, of, pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: PluginBreaker = PluginBreaker { errors: 50, calls: 4, open: Duration::from_secs(1) };

    #[test]
    fn it_opens_when_half_of_the_last_calls_are_bad_and_closes_after_a_good_probe() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for bad in [true, false, false] {
            assert_eq!(breaker.admit(now), Some(Admitted::Normally));
            assert_eq!(breaker.record(bad, false, now, &TERMS), None);
        }
        let pause = Duration::from_secs(1);
        assert_eq!(breaker.record(true, false, now, &TERMS), Some(Change::Opened { bad: 2, of: 4, pause }));
        assert_eq!(breaker.admit(now + pause / 2), None);
        assert_eq!(breaker.record(true, false, now, &TERMS), None, "began before");

        let later = now + pause;
        assert_eq!(breaker.admit(later), Some(Admitted::AsProbe));
        assert_eq!(breaker.admit(later), None, "one at a time");
        let twice = Duration::from_secs(2);
        assert_eq!(
            breaker.record(true, true, later, &TERMS),
            Some(Change::Opened { bad: 1, of: 1, pause: twice })
        );
        assert_eq!(breaker.admit(later + pause), None);
        assert_eq!(breaker.admit(later + twice), Some(Admitted::AsProbe));
        assert_eq!(breaker.record(false, true, later, &TERMS), Some(Change::Closed));
        assert_eq!(breaker.admit(later), Some(Admitted::Normally));
    }

    #[test]
    fn a_probe_that_is_lost_is_followed_by_another() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..4 {
            breaker.record(true, false, now, &TERMS);
        }
        let later = now + Duration::from_secs(1);
        assert_eq!(breaker.admit(later), Some(Admitted::AsProbe));
        breaker.probe_lost(later);
        assert_eq!(breaker.admit(later), Some(Admitted::AsProbe));
    }

    #[test]
    fn the_pause_has_an_end() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..4 {
            breaker.record(true, false, now, &TERMS);
        }
        for _ in 0..100 {
            now += Duration::from_secs(10);
            assert_eq!(breaker.admit(now), Some(Admitted::AsProbe));
            breaker.record(true, true, now, &TERMS);
        }
    }
}
