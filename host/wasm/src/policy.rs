//! The seam between the two worlds: a component as a [`Policy`].

use std::sync::Arc;

use limen_policy::{Answer, Exchange, Failure, FailureKind, Phase, Phases, Policy, Seat, Verdict};

use crate::image::Start;
use crate::isolate::{Isolate, seated};
use crate::pool::IsolatePool;

/// A configured component: one entry of a route's `policies`.
pub struct WasmPolicy {
    pool: Arc<IsolatePool>,
}

impl WasmPolicy {
    pub(crate) fn new(pool: Arc<IsolatePool>) -> Self {
        WasmPolicy { pool }
    }

    /// How its isolates get the memory that `configure` left.
    pub fn start(&self) -> &Start {
        &self.pool.image.start
    }

    async fn ask(
        &self,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        seat: &mut Seat,
    ) -> Result<Verdict, Failure> {
        if seat.is_none() {
            *seat = Some(Box::new(self.pool.take().await?));
        }
        let isolate = seated(seat)
            .ok_or_else(|| Failure::new(FailureKind::Contract, "the seat holds another policy's isolate"))?;
        if phase == Phase::Log && !isolate.is_usable() {
            // The client left in the middle of a hook. The isolate that it was torn out of can't be told.
            *seat = None;
            return Ok(Verdict::Next);
        }
        let exports = &self.pool.image.exports;
        let answer = isolate.call(exports, phase, exchange, &self.pool.limits).await;
        if answer.is_err() {
            *seat = None;
        }
        answer
    }
}

impl Policy for WasmPolicy {
    fn phases(&self) -> Phases {
        self.pool.image.exports.phases()
    }

    fn body_limit(&self) -> u64 {
        self.pool.limits.body
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        Answer::Wait(Box::pin(self.ask(phase, exchange, seat)))
    }

    fn leave(&self, seat: Seat) {
        if let Some(isolate) = seat.and_then(|seat| seat.downcast::<Isolate>().ok()) {
            self.pool.give_back(*isolate);
        }
    }
}
