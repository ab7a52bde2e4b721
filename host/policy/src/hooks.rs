//! What policies did and how long it took, hook by hook, where somebody wants to know.

use std::time::{Duration, Instant};

use crate::Phase;

/// The hooks of one exchange that were called, in their order. One that is called for each piece of a body
/// is one.
#[derive(Debug, Default)]
pub struct Hooks {
    all: Vec<Hook>,
    /// The place of the one that is being called, and since when.
    called: Option<(usize, Instant)>,
}

/// One hook of one policy.
#[derive(Debug)]
pub struct Hook {
    /// Names it in a trace: by chance, and not 0.
    pub id: u64,
    /// The policy's place on its route.
    pub policy: usize,
    pub phase: Phase,
    /// When it was called first, and when it was back for the last time.
    pub began: Instant,
    pub ended: Instant,
    /// The time of all calls.
    pub took: Duration,
    pub calls: u32,
    pub outcome: Outcome,
}

/// What the last call of a hook came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The exchange goes on, as it was or edited.
    Next,
    /// It answered itself.
    Reply,
    Failed,
    /// It would have refused it, and is there to report.
    Report,
    /// It was not back when the exchange ended.
    GivenUp,
}

impl Outcome {
    /// For the log and traces.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Next => "next",
            Outcome::Reply => "reply",
            Outcome::Failed => "failed",
            Outcome::Report => "report",
            Outcome::GivenUp => "given-up",
        }
    }
}

impl Hooks {
    pub fn iter(&self) -> std::slice::Iter<'_, Hook> {
        self.all.iter()
    }

    /// The name of the one that is being called.
    pub(crate) fn called(&self) -> Option<u64> {
        let (place, _) = self.called?;
        self.all.get(place).map(|hook| hook.id)
    }

    pub(crate) fn enter(&mut self, phase: Phase, policy: usize) {
        let now = Instant::now();
        let known = self.all.iter().position(|hook| hook.policy == policy && hook.phase == phase);
        let place = known.unwrap_or(self.all.len());
        if known.is_none() {
            let (id, took, outcome) = (fastrand::u64(1..), Duration::ZERO, Outcome::GivenUp);
            self.all.push(Hook { id, policy, phase, began: now, ended: now, took, calls: 0, outcome });
        }
        self.called = Some((place, now));
    }

    pub(crate) fn leave(&mut self, outcome: Outcome) {
        let Some((place, since)) = self.called.take() else { return };
        if let Some(hook) = self.all.get_mut(place) {
            hook.ended = Instant::now();
            hook.took += hook.ended - since;
            hook.calls = hook.calls.saturating_add(1);
            hook.outcome = outcome;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Exchange, Outcome, Phase, Reply};

    #[test]
    fn each_hook_is_noted_once_with_what_it_came_to() {
        let mut exchange = Exchange::default();
        exchange.hooks = Some(Box::default());
        for _ in 0..2 {
            exchange.enter(Phase::Request, 0);
            exchange.commit();
        }
        exchange.enter(Phase::Request, 1);
        exchange.reply = Some(Reply::default());
        exchange.discard();
        exchange.enter(Phase::Response, 1);
        exchange.discard();
        exchange.enter(Phase::Response, 0);
        let hooks: Vec<_> = exchange.hooks.iter().flat_map(|hooks| hooks.iter()).collect();
        let told: Vec<_> = hooks.iter().map(|it| (it.policy, it.phase, it.calls, it.outcome)).collect();
        assert_eq!(
            told,
            [
                (0, Phase::Request, 2, Outcome::Next),
                (1, Phase::Request, 1, Outcome::Reply),
                (1, Phase::Response, 1, Outcome::Failed),
                (0, Phase::Response, 0, Outcome::GivenUp),
            ]
        );
        assert!(hooks.iter().all(|it| it.took <= it.ended - it.began));
    }
}
