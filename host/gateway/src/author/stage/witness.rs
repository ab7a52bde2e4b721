//! Stands around the policy under test, and notes what each of its hooks came to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use limen_config::suite::ConsumerText;
use limen_policy::{Answer, Consumer, Exchange, Failure, FailureKind, Phase, Phases, Policy, Seat, Verdict};

/// A policy, and who watches it.
pub struct Witness {
    policy: Box<dyn Policy>,
    notes: Arc<Notes>,
}

/// What was seen since the step began.
#[derive(Default)]
pub struct Notes(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Whom a policy before this one has named.
    consumer: Option<Consumer>,
    seen: Vec<Note>,
}

/// One call of one hook.
#[derive(Clone, Debug)]
pub struct Note {
    /// None of a tick.
    pub phase: Option<Phase>,
    pub outcome: &'static str,
    pub failure: Option<(FailureKind, String)>,
    /// Whom the exchange is for now.
    pub consumer: Option<String>,
}

/// What can become of a hook; the last is that it is not called.
pub const OUTCOMES: &[&str] =
    &["next", "reply", "want-body", "want-chunks", "pass-rest", "emit", "drop", FAILED, "none"];
const FAILED: &str = "failed";

impl Witness {
    pub fn new(policy: Box<dyn Policy>, notes: Arc<Notes>) -> Self {
        Witness { policy, notes }
    }

    async fn ask(
        &self,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        seat: &mut Seat,
    ) -> Result<Verdict, Failure> {
        if phase == Phase::Request {
            exchange.consumer = self.notes.lock().consumer.clone().map(Box::new);
        }
        let id = |exchange: &Exchange| exchange.consumer.as_ref().map(|consumer| consumer.id().to_owned());
        let before = id(exchange);
        // The first phase is there for everybody, as somebody may have named a consumer.
        let answer = match self.policy.phases().has(phase) {
            false => return Ok(Verdict::Next),
            true => match self.policy.call(phase, exchange, seat) {
                Answer::Ready(answer) => answer,
                Answer::Wait(answer) => answer.await,
            },
        };
        // What it has edited is dropped otherwise.
        let is_taken = answer.as_ref().is_ok_and(|verdict| *verdict != Verdict::Reply);
        let consumer = if is_taken { id(exchange) } else { before };
        self.notes.note(Some(phase), answer.as_ref().copied(), consumer);
        answer
    }
}

impl Policy for Witness {
    fn phases(&self) -> Phases {
        self.policy.phases().with(Phase::Request)
    }

    fn body_limit(&self) -> u64 {
        self.policy.body_limit()
    }

    fn wants_timing(&self) -> bool {
        self.policy.wants_timing()
    }

    fn looks_back(&self) -> bool {
        self.policy.looks_back()
    }

    fn recodes(&self) -> bool {
        self.policy.recodes()
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        Answer::Wait(Box::pin(self.ask(phase, exchange, seat)))
    }

    fn misses_body(&self, failure: &Failure) {
        self.notes.note(Some(Phase::ResponseBody), Err(failure), None);
    }

    fn leave(&self, seat: Seat) {
        self.policy.leave(seat);
    }
}

impl Notes {
    /// Another step begins, after a policy that names this consumer.
    pub fn begin(&self, consumer: Option<&ConsumerText>) {
        let consumer = consumer.and_then(|named| {
            let attributes = named.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            Consumer::with(&named.id, attributes).ok()
        });
        *self.lock() = Inner { consumer, seen: Vec::new() };
    }

    pub fn take(&self) -> Vec<Note> {
        std::mem::take(&mut self.lock().seen)
    }

    pub fn note_tick(&self, answer: Result<(), &Failure>) {
        self.note(None, answer.map(|()| Verdict::Next), None);
    }

    fn note(&self, phase: Option<Phase>, answer: Result<Verdict, &Failure>, consumer: Option<String>) {
        let outcome = answer.as_ref().map_or(FAILED, |verdict| word(*verdict));
        let failure = answer.err().map(|failure| (failure.kind, failure.reason.clone()));
        self.lock().seen.push(Note { phase, outcome, failure, consumer });
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Next => "next",
        Verdict::Reply => "reply",
        Verdict::WantBody => "want-body",
        Verdict::WantChunks => "want-chunks",
        Verdict::PassRest => "pass-rest",
        Verdict::Emitted => "emit",
        Verdict::Drop => "drop",
    }
}
