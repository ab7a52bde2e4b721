//! Asking one policy, and what its answer leads to.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use limen_config::OnError;
use limen_policy::{
    Answer, Decision, Exchange, Failure, FailureKind, Outcome, Phase, Phases, Policy, Reply, Seat, Thinned,
    Verdict,
};

use super::{Case, Place};
use crate::refusal::{self, Fault};

/// A policy and what its failures mean here.
pub struct Attached {
    pub name: String,
    pub policy: Box<dyn Policy>,
    pub on_error: OnError,
    /// The lines about its failures, wherever it is attached.
    pub lines: Arc<Thinned>,
}

/// The policies of a route, in order. Streams hold on to them.
#[derive(Clone)]
pub struct Policies(Arc<[Attached]>);

impl Policies {
    pub fn new(policies: Vec<Attached>) -> Self {
        Policies(policies.into())
    }

    /// Each with something around it, while nobody else holds on to them.
    pub fn wrapped(mut self, around: impl Fn(Box<dyn Policy>) -> Box<dyn Policy>) -> Vec<Attached> {
        let all = Arc::get_mut(&mut self.0).unwrap_or_default().iter_mut();
        let attached = all.map(|Attached { name, policy, on_error, lines }| {
            let policy = around(std::mem::replace(policy, Box::new(Nobody)));
            Attached { name: std::mem::take(name), policy, on_error: *on_error, lines: lines.clone() }
        });
        attached.collect()
    }

    /// One hook of one policy, and what it leads to; none if the exchange goes on as it was.
    /// [`Verdict::Reply`] means that the answer is in the exchange, from whoever it is.
    pub async fn ask(&self, number: usize, phase: Phase, case: &mut Case) -> Option<Verdict> {
        let verdict = match self.call(number, phase, case)? {
            Answer::Ready(verdict) => verdict,
            Answer::Wait(future) => future.await,
        };
        match settle(verdict, number, case) {
            Ok(verdict) => Some(verdict),
            Err(failure) => self.failed(number, case, failure),
        }
    }

    /// As [`ask`](Self::ask), for a caller who decides itself what becomes of a failure. The policy is
    /// not asked again after one.
    pub async fn consult(
        &self,
        number: usize,
        phase: Phase,
        case: &mut Case,
    ) -> Result<Option<Verdict>, Failure> {
        let verdict = match self.call(number, phase, case) {
            None => return Ok(None),
            Some(Answer::Ready(verdict)) => verdict,
            Some(Answer::Wait(future)) => future.await,
        };
        settle(verdict, number, case).map(Some)
    }

    /// None if the policy is not asked at this phase, or not any more.
    fn call<'a>(&'a self, number: usize, phase: Phase, case: &'a mut Case) -> Option<Answer<'a>> {
        let attached = self.0.get(number)?;
        let Place::In(seat) = case.seats.get_mut(number)? else { return None };
        if !attached.policy.phases().has(phase) {
            return None;
        }
        case.exchange.enter(phase, number);
        Some(attached.policy.call(phase, &mut case.exchange, seat))
    }

    /// Does what the operator wrote for this policy's failures.
    pub fn failed(&self, number: usize, case: &mut Case, failure: Failure) -> Option<Verdict> {
        let attached = self.0.get(number)?;
        if case.exchange.phase() == Phase::Log || attached.on_error == OnError::Skip {
            self.gave_up(number, case, &failure, "skipped");
            return None;
        }
        self.refused(number, case, failure)
    }

    /// Answers for a policy that failed; what `on_error = "skip"` would go on with is not there any more.
    pub fn refused(&self, number: usize, case: &mut Case, failure: Failure) -> Option<Verdict> {
        let attached = self.0.get(number)?;
        if failure.kind == FailureKind::Body {
            attached.policy.misses_body(&failure);
        }
        case.leave_out(number);
        let status = match attached.on_error {
            OnError::Status(status) => status,
            _ if failure.kind == FailureKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let fault = Fault::policy(status, format!("{}: {failure}", attached.name));
        let fault = match is_told(&failure) {
            true => fault.told(),
            false => fault.among(attached.lines.clone()),
        };
        refusal::respond(fault, &mut case.exchange);
        let reason = case.exchange.reason;
        note(&mut case.exchange, number, Outcome::Failed, reason);
        Some(Verdict::Reply)
    }

    /// Notes a failure that becomes no answer: what became of it instead is told in one word or two.
    pub fn gave_up(&self, number: usize, case: &mut Case, failure: &Failure, instead: &str) {
        if let (FailureKind::Body, Some(attached)) = (failure.kind, self.0.get(number)) {
            attached.policy.misses_body(failure);
        }
        case.leave_out(number);
        note(&mut case.exchange, number, Outcome::Failed, "");
        let Some(attached) = self.0.get(number).filter(|_| !is_told(failure)) else { return };
        let exchange = &case.exchange;
        let (id, policy, route) = (&exchange.id, attached.name.as_str(), exchange.route.name.as_str());
        let phase = exchange.phase().name();
        match attached.lines.begin(Instant::now()) {
            Some(0) => tracing::warn!(%id, policy, route, phase, "policy failed, {instead}: {failure}"),
            Some(left_out) => {
                tracing::warn!(%id, policy, route, phase, left_out, "policy failed, {instead}: {failure}");
            }
            None => tracing::debug!(%id, policy, route, phase, "policy failed, {instead}: {failure}"),
        }
    }

    /// Lets a policy go that no hook is left for. `reached` is the last phase that is surely over.
    pub fn release(&self, number: usize, reached: Phase, case: &mut Case) {
        let Some(attached) = self.0.get(number) else { return };
        let policy = &attached.policy;
        if policy.phases().any_after(reached) || policy.holds_on() || case.streams(number) {
            return;
        }
        if let Some(Place::In(seat)) = case.seats.get_mut(number)
            && seat.is_some()
        {
            attached.policy.leave(seat.take());
        }
    }

    /// Drops what was kept until the exchange has ended.
    pub fn let_go(&self, case: &mut Case) {
        for (attached, place) in self.iter().zip(&mut case.seats) {
            if let (true, Place::In(seat)) = (attached.policy.holds_on(), place) {
                drop(seat.take());
            }
        }
    }
}

impl Deref for Policies {
    type Target = [Attached];

    fn deref(&self) -> &[Attached] {
        &self.0
    }
}

impl Default for Policies {
    fn default() -> Self {
        Policies::new(Vec::new())
    }
}

/// Stands where a policy was taken away.
struct Nobody;

impl Policy for Nobody {
    fn phases(&self) -> Phases {
        Phases::default()
    }

    fn call<'a>(&'a self, _: Phase, _: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        Answer::Ready(Ok(Verdict::Next))
    }
}

/// Takes or drops the edits by how the hook ended; its reply becomes the answer of the exchange.
fn settle(verdict: Result<Verdict, Failure>, policy: usize, case: &mut Case) -> Result<Verdict, Failure> {
    let exchange = &mut case.exchange;
    match verdict {
        Ok(Verdict::Reply) => {
            exchange.discard();
            let Reply { head, body, source, denied, reason, onward } =
                exchange.reply.take().unwrap_or_default();
            exchange.answer_locally(head, body, reason.unwrap_or("policy_reply"));
            exchange.response_source = source;
            if let Some(denied) = denied {
                refusal::denied(*denied, exchange);
            }
            let reason = exchange.reason;
            note(exchange, policy, Outcome::Reply, reason);
            if let Some(onward) = onward {
                case.fork(policy, *onward);
            }
        }
        Ok(_) => exchange.commit(),
        Err(_) => exchange.discard(),
    }
    verdict
}

/// Keeps for metrics what a policy decided.
fn note(exchange: &mut Exchange, policy: usize, outcome: Outcome, reason: &'static str) {
    exchange.decisions.push(Decision { policy, outcome, reason });
}

/// Whether whoever did not ask it has said so: once, and not for each request.
fn is_told(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::HeldBack | FailureKind::NoIsolate)
}
