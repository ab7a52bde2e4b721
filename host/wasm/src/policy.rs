//! The seam between the two worlds: a component as a [`Policy`].

use std::sync::Arc;
use std::time::Duration;

use limen_policy::{Answer, Exchange, Failure, FailureKind, Phase, Phases, Policy, Seat, Verdict};

use crate::account::Account;
use crate::image::{Reset, Start};
use crate::isolate::{Code, Isolate};
use crate::keeper::{Hook, Keeper, Permit};
use crate::pool::IsolatePool;
use crate::turnstile::{self, Inside};

/// A configured component: one entry of a route's `policies`.
pub struct WasmPolicy {
    pool: Arc<IsolatePool>,
    keeper: Arc<Keeper>,
    account: Arc<Account>,
    /// Those of the image: asked for several times in each exchange.
    phases: Phases,
}

/// What one exchange has of a policy, from the first hook to the last.
struct Seated {
    isolate: Box<Isolate>,
    permit: Permit,
    _inside: Inside,
    /// What is left of `limits.cpu_total`.
    cpu_left: Duration,
}

impl WasmPolicy {
    pub(crate) fn new(pool: Arc<IsolatePool>, keeper: Arc<Keeper>, account: Arc<Account>) -> Self {
        let phases = pool.image.exports.phases();
        WasmPolicy { pool, keeper, account, phases }
    }

    /// How its isolates get the memory that `configure` left.
    pub fn start(&self) -> &Start {
        &self.pool.image.start
    }

    /// Whose isolates it takes.
    pub(crate) fn pool(&self) -> &Arc<IsolatePool> {
        &self.pool
    }

    /// How its isolates become fresh again.
    pub fn reset(&self) -> Reset {
        self.pool.image.reset()
    }

    /// What it has used on its route.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Who holds this version of its plugin to its limits.
    pub fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    async fn ask(
        &self,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        seat: &mut Seat,
    ) -> Result<Verdict, Failure> {
        let answer = self.ask_seated(phase, exchange, seat).await;
        if let Err(failure) = &answer {
            self.account.failed(failure.kind);
            *seat = None;
        }
        answer
    }

    async fn ask_seated(
        &self,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        seat: &mut Seat,
    ) -> Result<Verdict, Failure> {
        if seat.is_none() {
            *seat = Some(Box::new(self.sit_down().await?));
        }
        let Some(seated) = seat.as_mut().and_then(|seat| seat.downcast_mut::<Seated>()) else {
            return Err(Failure::new(FailureKind::Contract, "the seat holds another policy's isolate"));
        };
        if phase == Phase::Log && !seated.isolate.is_usable() {
            // The client left in the middle of a hook. The isolate that it was torn out of can't be told.
            *seat = None;
            return Ok(Verdict::Next);
        }
        if phase == Phase::Log {
            self.keeper.admit_log(&mut seated.permit)?;
        }
        let (image, limits) = (&*self.pool.image, &self.pool.limits);
        let cpu = limits.cpu.min(seated.cpu_left);
        let (answer, used) = seated.isolate.call(image, phase, exchange, limits, cpu).await;
        seated.cpu_left = seated.cpu_left.saturating_sub(used);
        let used = used + seated.isolate.take_making();
        exchange.policy_time += used;
        self.account.called(used, seated.isolate.memory_peak(), seated.isolate.take_host_calls());
        let bad = answer.as_ref().is_err_and(|failure| failure.kind.is_its_fault());
        let hook = if phase == Phase::Log { Hook::Log } else { Hook::Deciding };
        self.keeper.record(&seated.permit, hook, bad, used, limits);
        answer
    }

    /// An isolate for an exchange, if it may have one.
    async fn sit_down(&self) -> Result<Seated, Failure> {
        let permit = self.keeper.admit(&self.pool.limits)?;
        let inside = turnstile::enter().await;
        let isolate = match self.pool.take_idle() {
            Some(isolate) => isolate,
            None => {
                self.account.made_isolate();
                // Most exchanges find one: what making one needs is not to be in every future.
                Box::pin(self.pool.make()).await?
            }
        };
        Ok(Seated { isolate, permit, _inside: inside, cpu_left: self.pool.limits.cpu_total })
    }
}

impl Policy for WasmPolicy {
    fn phases(&self) -> Phases {
        self.phases
    }

    fn body_limit(&self) -> u64 {
        self.pool.limits.body
    }

    fn wants_timing(&self) -> bool {
        self.pool.grounds.is_timed
    }

    fn looks_back(&self) -> bool {
        // While a request is under way nobody can tell whether its headers have gone already.
        let beside = [Phase::RequestChunk, Phase::RequestTrailers, Phase::Upstream];
        let may = match &self.pool.image.code {
            Code::Component(_) => true,
            Code::Direct(direct) => direct.looks_back,
        };
        may || beside.into_iter().any(|phase| self.phases.has(phase))
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        Answer::Wait(Box::pin(self.ask(phase, exchange, seat)))
    }

    fn leave(&self, seat: Seat) {
        if let Some(seated) = seat.and_then(|seat| seat.downcast::<Seated>().ok()) {
            self.pool.give_back(seated.isolate);
        }
    }
}
