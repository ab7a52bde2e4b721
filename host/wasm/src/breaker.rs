//! Whether a plugin is asked at all: one that traps or burns its limits often is left alone for a while.
//!
//! Each worker has one for each plugin, so that nobody shares anything for it.

use std::fmt;
use std::time::{Duration, Instant};

use limen_config::PluginBreaker;

/// It stays open at most so many times as long as the first time.
const LONGEST: u32 = 10;
/// What is wasted is measured in this.
const WINDOW: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// How the last calls ended, the newest in the lowest bit; 1: badly.
    outcomes: u64,
    /// How many of these there are.
    calls: u32,
    waste: Waste,
    state: State,
    /// How often in a row it has opened.
    opened: u32,
}

/// What calls that failed have computed for, in the second that began with the first of them.
#[derive(Debug, Default)]
struct Waste {
    since: Option<Instant>,
    calls: u32,
    time: Duration,
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
    Opened { because: Because, pause: Duration },
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Because {
    /// So many of its last calls failed.
    Often { bad: u32, of: u32 },
    /// Within a second, calls that failed have computed for so long.
    Wasteful { bad: u32, time: Duration },
    /// One exchange has tried whether it is better, and it isn't.
    StillBad,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Because::Often { bad, of } => write!(f, "{bad} of its last {of} calls trapped or hit a limit"),
            Because::Wasteful { bad, time } => {
                write!(f, "{bad} calls within a second trapped or hit a limit, after computing for {time:?}")
            }
            Because::StillBad => f.write_str("the call that should show whether it is better was not"),
        }
    }
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

    /// A call has ended, badly at this moment or not, after so much computing.
    pub(crate) fn record(
        &mut self,
        bad: Option<Instant>,
        as_probe: bool,
        used: Duration,
        terms: &PluginBreaker,
    ) -> Option<Change> {
        match self.state {
            State::Probing if as_probe => match bad {
                Some(now) => Some(self.open(Because::StillBad, now, terms)),
                None => {
                    *self = Breaker::default();
                    Some(Change::Closed)
                }
            },
            State::Closed => {
                let of = u32::try_from(terms.calls).unwrap_or(u32::MAX).clamp(1, 64);
                self.outcomes = (self.outcomes << 1) | u64::from(bad.is_some());
                self.calls = (self.calls + 1).min(of);
                let recent = self.outcomes & (u64::MAX >> (64 - of));
                let too_many = u64::from(recent.count_ones()) * 100 >= terms.errors as u64 * u64::from(of);
                let now = bad?;
                let wasteful = self.waste.add(used, now, terms);
                let often = Because::Often { bad: recent.count_ones(), of };
                let because = (self.calls == of && too_many).then_some(often).or(wasteful)?;
                Some(self.open(because, now, terms))
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

    fn open(&mut self, because: Because, now: Instant, terms: &PluginBreaker) -> Change {
        let times = 1_u32.checked_shl(self.opened).unwrap_or(LONGEST).min(LONGEST);
        let pause = terms.open.saturating_mul(times);
        *self = Breaker {
            opened: (self.opened + 1).min(LONGEST),
            state: State::Open { until: now + pause },
            ..Breaker::default()
        };
        Change::Opened { because, pause }
    }
}

impl Waste {
    /// One more; whether it is one too many. One alone is what `limits.cpu` allows.
    fn add(&mut self, used: Duration, now: Instant, terms: &PluginBreaker) -> Option<Because> {
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            *self = Waste { since: Some(now), ..Waste::default() };
        }
        self.calls += 1;
        self.time += used;
        let too_long = self.time * 100 >= WINDOW * u32::try_from(terms.wasted).unwrap_or(100);
        (self.calls > 1 && too_long).then_some(Because::Wasteful { bad: self.calls, time: self.time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: PluginBreaker =
        PluginBreaker { errors: 50, calls: 4, wasted: 10, open: Duration::from_secs(1) };
    const QUICK: Duration = Duration::from_millis(1);

    #[test]
    fn it_opens_when_half_of_the_last_calls_are_bad_and_closes_after_a_good_probe() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for bad in [true, false, false] {
            assert_eq!(breaker.admit(now), Some(Admitted::Normally));
            assert_eq!(breaker.record(bad.then_some(now), false, QUICK, &TERMS), None);
        }
        let pause = Duration::from_secs(1);
        let because = Because::Often { bad: 2, of: 4 };
        let opened = breaker.record(Some(now), false, QUICK, &TERMS);
        assert_eq!(opened, Some(Change::Opened { because, pause }));
        assert_eq!(breaker.admit(now + pause / 2), None);
        assert_eq!(breaker.record(Some(now), false, QUICK, &TERMS), None, "began before");

        let later = now + pause;
        assert_eq!(breaker.admit(later), Some(Admitted::AsProbe));
        assert_eq!(breaker.admit(later), None, "one at a time");
        let twice = Duration::from_secs(2);
        let opened = breaker.record(Some(later), true, QUICK, &TERMS);
        assert_eq!(opened, Some(Change::Opened { because: Because::StillBad, pause: twice }));
        assert_eq!(breaker.admit(later + pause), None);
        assert_eq!(breaker.admit(later + twice), Some(Admitted::AsProbe));
        assert_eq!(breaker.record(None, true, QUICK, &TERMS), Some(Change::Closed));
        assert_eq!(breaker.admit(later), Some(Admitted::Normally));
    }

    #[test]
    fn it_opens_when_few_bad_calls_waste_much() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        let wasted = Duration::from_millis(60);
        for _ in 0..3 {
            assert_eq!(breaker.record(None, false, wasted * 10, &TERMS), None, "that is not wasted");
        }
        assert_eq!(breaker.record(Some(now), false, wasted * 10, &TERMS), None, "one is what a call may use");
        let later = now + WINDOW;
        for _ in 0..3 {
            assert_eq!(breaker.record(None, false, QUICK, &TERMS), None);
        }
        assert_eq!(breaker.record(Some(later), false, wasted, &TERMS), None, "another second");
        for _ in 0..3 {
            assert_eq!(breaker.record(None, false, QUICK, &TERMS), None);
        }
        let because = Because::Wasteful { bad: 2, time: wasted * 2 };
        let opened = breaker.record(Some(later), false, wasted, &TERMS);
        assert_eq!(opened, Some(Change::Opened { because, pause: TERMS.open }));
    }

    #[test]
    fn a_probe_that_is_lost_is_followed_by_another() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..4 {
            breaker.record(Some(now), false, QUICK, &TERMS);
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
            breaker.record(Some(now), false, QUICK, &TERMS);
        }
        for _ in 0..100 {
            now += Duration::from_secs(10);
            assert_eq!(breaker.admit(now), Some(Admitted::AsProbe));
            breaker.record(Some(now), true, QUICK, &TERMS);
        }
    }
}
