//! Which policies ended exchanges, and why: what goes on, as most do, is not counted here.

use std::sync::{Mutex, PoisonError};

/// The decisions of the policies of one route, at one worker. There are as many as policies and reasons, which
/// are few and fixed: a list. Its lock is taken by its worker and by scrapes.
#[derive(Default)]
pub struct Decisions(Mutex<Vec<Counted>>);

#[derive(Clone)]
pub struct Counted {
    pub policy: String,
    /// "reply", "failed" or "report".
    pub verdict: &'static str,
    /// The exchange's, as in `reason` of the access log; empty if the failure was skipped.
    pub reason: &'static str,
    pub count: u64,
}

impl Decisions {
    pub fn count(&self, policy: &str, verdict: &'static str, reason: &'static str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |it: &&mut Counted| it.policy == policy && it.verdict == verdict && it.reason == reason;
        match all.iter_mut().find(is_it) {
            Some(counted) => counted.count += 1,
            None => all.push(Counted { policy: policy.to_owned(), verdict, reason, count: 1 }),
        }
    }

    pub fn all(&self) -> Vec<Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
