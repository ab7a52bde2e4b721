//! Stands around a policy, and times each of its hooks.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use limen_policy::{Answer, Exchange, Failure, Phase, Phases, Policy, Seat, Verdict};

/// A policy, and who looks at the clock.
pub struct Timer {
    policy: Box<dyn Policy>,
    times: Arc<Times>,
}

/// What was seen of calls.
#[derive(Default)]
pub struct Times(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// What they took, by hook: the worker's time, without that of waiting.
    took: BTreeMap<&'static str, Vec<f64>>,
    /// How much of bodies hooks were given, in bytes.
    pieces: u64,
}

/// What an isolate takes that is given back: it is made what it was before.
pub const GIVEN_BACK: &str = "give back";

impl Timer {
    pub fn new(policy: Box<dyn Policy>, times: Arc<Times>) -> Self {
        Timer { policy, times }
    }

    async fn ask(
        &self,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        seat: &mut Seat,
    ) -> Result<Verdict, Failure> {
        if let Some(chunk) = exchange.chunk() {
            self.times.lock().pieces += chunk.data.len() as u64;
        }
        let began = Instant::now();
        let answer = self.policy.call(phase, exchange, seat);
        let mut took = began.elapsed();
        let answer = match answer {
            Answer::Ready(answer) => answer,
            Answer::Wait(future) => {
                let mut future = pin!(future);
                poll_fn(|context| {
                    let began = Instant::now();
                    let polled = future.as_mut().poll(context);
                    took += began.elapsed();
                    polled
                })
                .await
            }
        };
        self.times.note(phase.name(), took);
        answer
    }
}

impl Policy for Timer {
    fn phases(&self) -> Phases {
        self.policy.phases()
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

    fn leave(&self, seat: Seat) {
        let began = Instant::now();
        self.policy.leave(seat);
        self.times.note(GIVEN_BACK, began.elapsed());
    }
}

impl Times {
    /// Nanoseconds of each call, by hook.
    pub fn take(&self) -> BTreeMap<&'static str, Vec<f64>> {
        std::mem::take(&mut self.lock().took)
    }

    /// Bytes of pieces of bodies that hooks were given.
    pub fn pieces(&self) -> u64 {
        self.lock().pieces
    }

    fn note(&self, hook: &'static str, took: Duration) {
        self.lock().took.entry(hook).or_default().push(took.as_nanos() as f64);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
