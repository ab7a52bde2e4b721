//! How long the policies of a route take, and what they come to: of those exchanges whose hooks are timed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use limen_policy::{Hooks, Outcome};

use super::cell::HookHistogram;

/// Of so many exchanges one is timed, where nobody else wants it: looking at the clock around each hook takes as
/// long as some policies do.
const TIMED: u32 = 16;

/// Says whether an exchange is the one of so many that is timed.
#[derive(Default)]
pub struct Sampling(std::cell::Cell<u32>);

impl Sampling {
    pub fn next(&self) -> bool {
        let number = self.0.get();
        self.0.set(number.wrapping_add(1));
        number.is_multiple_of(TIMED)
    }
}

/// The policies of one route, at one worker: as many as there are, times what they can come to. Its lock is taken by
/// its worker and by scrapes.
#[derive(Default)]
pub struct HookTimes(Mutex<Vec<Timed>>);

struct Timed {
    policy: String,
    outcome: Outcome,
    times: HookHistogram,
}

impl HookTimes {
    /// Counts what each policy took of an exchange, with all its hooks, and what it came to.
    pub fn record<'a>(&self, hooks: &Hooks, name: impl Fn(usize) -> &'a str) {
        let mut policies: Vec<(usize, Duration, Outcome)> = Vec::new();
        for hook in hooks.iter() {
            match policies.iter_mut().find(|(policy, ..)| *policy == hook.policy) {
                None => policies.push((hook.policy, hook.took, hook.outcome)),
                Some((_, took, outcome)) => {
                    *took += hook.took;
                    if hook.outcome != Outcome::Next {
                        *outcome = hook.outcome;
                    }
                }
            }
        }
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (policy, took, outcome) in policies {
            let policy = name(policy);
            if let Some(timed) = all.iter().find(|it| it.outcome == outcome && it.policy == policy) {
                timed.times.record_hooks(took);
                continue;
            }
            let timed = Timed { policy: policy.to_owned(), outcome, times: HookHistogram::default() };
            timed.times.record_hooks(took);
            all.push(timed);
        }
    }

    /// Tells of each policy, and what it came to.
    pub fn each(&self, mut tell: impl FnMut(&str, Outcome, &HookHistogram)) {
        for Timed { policy, outcome, times } in self.0.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            tell(policy, *outcome, times);
        }
    }
}
