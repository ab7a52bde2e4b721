//! The circuit breaker: an upstream that fails too often is left alone for a while.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use limen_config::Breaker as Terms;

use super::tally::Tally;

/// Each time the probes fail it stays open twice as long, up to so many times as at first.
const LONGEST: u32 = 10;
/// When to come again while others probe.
const SOON: Duration = Duration::from_secs(1);

/// The breaker of an upstream, for all workers. While it is closed, a request reads one byte that
/// nobody writes, and counts in its worker's own tally.
pub struct Breaker {
    terms: Terms,
    requests: Tally,
    failures: Tally,
    phase: AtomicU8,
    circuit: Mutex<Circuit>,
    openings: AtomicU64,
}

/// How a breaker is, for those who look on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    Closed,
    Open,
    HalfOpen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Circuit {
    Closed,
    Open { until: Instant, times: u32 },
    HalfOpen { probing: usize, passed: usize, times: u32 },
}

/// A request that was let through. If it ends without a word of how, nothing is learned from it.
pub struct Admission {
    breaker: Arc<Breaker>,
    standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Regular,
    /// One of the few that show whether the upstream is well again.
    Probe,
    Settled,
}

/// How an upstream took a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Good,
    Bad,
}

/// It is open: come again after that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open(pub Duration);

impl Breaker {
    pub fn new(terms: Terms, now: Instant) -> Self {
        Breaker {
            terms,
            requests: Tally::of_requests(terms.window, now),
            failures: Tally::of_rare(terms.window, now),
            phase: AtomicU8::new(Phase::Closed as u8),
            circuit: Mutex::new(Circuit::Closed),
            openings: AtomicU64::new(0),
        }
    }

    pub fn terms(&self) -> Terms {
        self.terms
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Closed,
            1 => Phase::Open,
            _ => Phase::HalfOpen,
        }
    }

    /// How often it has opened.
    pub fn openings(&self) -> u64 {
        self.openings.load(Ordering::Relaxed)
    }

    /// Lets a request through, or not.
    pub fn admit(self: &Arc<Self>, now: Instant) -> Result<Admission, Open> {
        let standing = match self.phase() {
            Phase::Closed => Standing::Regular,
            _ => self.change(|circuit| circuit.admit(&self.terms, now))?,
        };
        Ok(Admission { breaker: self.clone(), standing })
    }

    /// Whether a request would be turned away that comes now.
    pub fn turns_away(&self, now: Instant) -> Option<Open> {
        match self.phase() {
            Phase::Closed => None,
            _ => { *self.circuit() }.admit(&self.terms, now).err(),
        }
    }

    fn learn(&self, worker: usize, now: Instant, outcome: Outcome) {
        self.requests.add(worker, now);
        if outcome == Outcome::Good {
            return;
        }
        self.failures.add(0, now);
        let (failed, all) = (self.failures.count(now), self.requests.count(now));
        let enough = all >= self.terms.requests as u64;
        if enough && failed * 100 >= all * self.terms.errors as u64 {
            self.change(|circuit| {
                if *circuit == Circuit::Closed {
                    *circuit = Circuit::opened(&self.terms, 0, now);
                }
            });
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Circuit) -> T) -> T {
        let mut circuit = self.circuit();
        let before = *circuit;
        let answer = change(&mut circuit);
        let phase = circuit.phase();
        if before.phase() != phase {
            match phase {
                Phase::Open => drop(self.openings.fetch_add(1, Ordering::Relaxed)),
                Phase::HalfOpen => {}
                // What was counted before it opened would open it again.
                Phase::Closed => [&self.requests, &self.failures].into_iter().for_each(Tally::clear),
            }
            self.phase.store(phase as u8, Ordering::Relaxed);
        }
        answer
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Circuit {
    fn opened(terms: &Terms, times: u32, now: Instant) -> Self {
        let factor = 2u32.saturating_pow(times).min(LONGEST);
        Circuit::Open { until: now + terms.open * factor, times }
    }

    fn phase(self) -> Phase {
        match self {
            Circuit::Closed => Phase::Closed,
            Circuit::Open { .. } => Phase::Open,
            Circuit::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    fn admit(&mut self, terms: &Terms, now: Instant) -> Result<Standing, Open> {
        if let Circuit::Open { until, times } = *self {
            if now < until {
                return Err(Open(until - now));
            }
            *self = Circuit::HalfOpen { probing: 0, passed: 0, times };
        }
        match self {
            Circuit::HalfOpen { probing, passed, .. } if *probing + *passed < terms.probes => {
                *probing += 1;
                Ok(Standing::Probe)
            }
            Circuit::HalfOpen { .. } => Err(Open(SOON)),
            _ => Ok(Standing::Regular),
        }
    }

    /// A probe has ended; without an outcome, it makes room for another.
    fn probed(&mut self, terms: &Terms, now: Instant, outcome: Option<Outcome>) {
        let Circuit::HalfOpen { probing, passed, times } = self else { return };
        *probing = probing.saturating_sub(1);
        match outcome {
            None => {}
            Some(Outcome::Bad) => *self = Circuit::opened(terms, times.saturating_add(1), now),
            Some(Outcome::Good) => {
                *passed += 1;
                if *passed >= terms.probes {
                    *self = Circuit::Closed;
                }
            }
        }
    }
}

impl Admission {
    /// Tells how the upstream took the request.
    pub fn tell(mut self, worker: usize, now: Instant, outcome: Outcome) {
        let breaker = &self.breaker;
        match std::mem::replace(&mut self.standing, Standing::Settled) {
            Standing::Probe => breaker.change(|circuit| circuit.probed(&breaker.terms, now, Some(outcome))),
            // Of those that were under way when it opened, it has learned enough.
            Standing::Regular if breaker.phase() == Phase::Closed => breaker.learn(worker, now, outcome),
            _ => {}
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.standing == Standing::Probe {
            let breaker = &self.breaker;
            breaker.change(|circuit| circuit.probed(&breaker.terms, Instant::now(), None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms = Terms {
        errors: 50,
        requests: 10,
        window: Duration::from_secs(10),
        open: Duration::from_secs(5),
        probes: 2,
    };

    fn ask(breaker: &Arc<Breaker>, now: Instant, outcome: Outcome) -> Result<(), Open> {
        breaker.admit(now).map(|admission| admission.tell(0, now, outcome))
    }

    fn opened(now: Instant) -> Arc<Breaker> {
        let breaker = Arc::new(Breaker::new(TERMS, now));
        for number in 0..10 {
            assert_eq!(breaker.phase(), Phase::Closed, "{number}");
            let outcome = if number % 2 == 0 { Outcome::Good } else { Outcome::Bad };
            ask(&breaker, now, outcome).unwrap();
        }
        breaker
    }

    #[test]
    fn opens_probes_and_closes() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let breaker = opened(begin);
        assert_eq!((breaker.phase(), breaker.openings()), (Phase::Open, 1));
        assert_eq!(ask(&breaker, at(2), Outcome::Good), Err(Open(Duration::from_secs(3))));
        assert_eq!(breaker.turns_away(at(2)), Some(Open(Duration::from_secs(3))));
        assert_eq!(breaker.turns_away(at(5)), None);

        let [one, two] = [(); 2].map(|()| breaker.admit(at(5)).unwrap_or_else(|_| panic!()));
        assert_eq!(breaker.phase(), Phase::HalfOpen);
        assert_eq!(ask(&breaker, at(5), Outcome::Good), Err(Open(SOON)));
        one.tell(0, at(5), Outcome::Good);
        assert_eq!(ask(&breaker, at(5), Outcome::Good), Err(Open(SOON)));
        // Its client went away: another takes its place.
        drop(two);
        assert_eq!(ask(&breaker, at(5), Outcome::Good), Ok(()));
        assert_eq!(breaker.phase(), Phase::Closed);
        // It begins anew.
        assert_eq!(ask(&breaker, at(5), Outcome::Bad), Ok(()));
        assert_eq!(breaker.phase(), Phase::Closed);
    }

    #[test]
    fn stays_open_longer_each_time() {
        let begin = Instant::now();
        let breaker = opened(begin);
        let mut now = begin;
        for seconds in [5, 10, 20, 40, 50, 50] {
            assert_eq!(breaker.turns_away(now), Some(Open(Duration::from_secs(seconds))));
            now += Duration::from_secs(seconds);
            assert_eq!(ask(&breaker, now, Outcome::Bad), Ok(()));
        }
        assert_eq!(breaker.openings(), 7);
    }

    #[test]
    fn learns_nothing_from_those_that_were_under_way() {
        let begin = Instant::now();
        let breaker = Arc::new(Breaker::new(TERMS, begin));
        let early = breaker.admit(begin).unwrap_or_else(|_| panic!());
        (0..10).for_each(|_| ask(&breaker, begin, Outcome::Bad).unwrap());
        let later = begin + Duration::from_secs(5);
        let _probe = breaker.admit(later).unwrap_or_else(|_| panic!());
        early.tell(0, later, Outcome::Bad);
        assert_eq!(breaker.phase(), Phase::HalfOpen);
    }

    #[test]
    fn few_failures_and_old_ones_don_t_count() {
        let begin = Instant::now();
        let breaker = Arc::new(Breaker::new(TERMS, begin));
        (0..9).for_each(|_| ask(&breaker, begin, Outcome::Bad).unwrap());
        let later = begin + Duration::from_secs(20);
        (0..9).for_each(|_| ask(&breaker, later, Outcome::Bad).unwrap());
        assert_eq!(breaker.phase(), Phase::Closed);
        ask(&breaker, later, Outcome::Bad).unwrap();
        assert_eq!(breaker.phase(), Phase::Open);
    }
}
