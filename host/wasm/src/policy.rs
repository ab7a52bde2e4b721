//! The seam between the two worlds: a component as a [`Policy`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use limen_policy::{Answer, Exchange, Failure, FailureKind, Phase, Phases, Policy, Seat, Verdict};

use crate::account::Account;
use crate::image::{Reset, Start};
use crate::isolate::{Code, Isolate, in_hook};
use crate::keeper::{Hook, Keeper, Permit};
use crate::pool::IsolatePool;
use crate::turnstile::{self, Inside};

/// Hooks that may compute for longer have a stack of their own, so that their worker can do something else in
/// between. The others it would wait for so long at most.
const LONGEST_HERE: Duration = Duration::from_millis(10);

/// A configured component: one entry of a route's `policies`.
pub struct WasmPolicy {
    pool: Arc<IsolatePool>,
    keeper: Arc<Keeper>,
    account: Arc<Account>,
    /// Those of the image: asked for several times in each exchange.
    phases: Phases,
    /// Whether its hooks never wait and may not compute for long: these need no stack of their own.
    is_quick: bool,
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
        let waits = match &pool.image.code {
            Code::Component(_) => true,
            Code::Direct(direct) => direct.waits,
        };
        let is_quick = !waits && pool.limits.cpu <= LONGEST_HERE;
        WasmPolicy { pool, keeper, account, phases, is_quick }
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

    /// Whether its hook is called on the stack of whoever asks.
    fn is_short(&self) -> bool {
        self.is_quick && !self.keeper.gives_way()
    }

    /// Asks it right now, which most can be most of the time; none: it has to be waited for.
    fn ask_now(
        &self,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        seat: &mut Seat,
    ) -> Option<Result<Verdict, Failure>> {
        let now = Instant::now();
        let answer = match seat {
            Some(_) => self.ask_here(phase, exchange, seat, now),
            None => self.sit_down_now(now)?.and_then(|seated| {
                *seat = Some(Box::new(seated));
                self.ask_here(phase, exchange, seat, now)
            }),
        };
        Some(self.settled(answer, seat))
    }

    /// Asks it in its isolate, on the stack of whoever asks.
    fn ask_here(
        &self,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        seat: &mut Seat,
        now: Instant,
    ) -> Result<Verdict, Failure> {
        let Some(seated) = self.seated(phase, seat)? else { return Ok(Verdict::Next) };
        let cpu = self.pool.limits.cpu.min(seated.cpu_left);
        let (answer, used) = seated.isolate.call_here(&self.pool.image, phase, exchange, cpu, now);
        self.record(phase, exchange, seated, &answer, used);
        answer
    }

    /// Asks it when it has an isolate.
    async fn ask(
        &self,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        seat: &mut Seat,
    ) -> Result<Verdict, Failure> {
        let answer = async {
            if seat.is_none() {
                *seat = Some(Box::new(self.sit_down().await?));
            }
            // Asked anew: others may have been found to be long while this one waited for its turn.
            if self.is_short() {
                return self.ask_here(phase, exchange, seat, Instant::now());
            }
            let Some(seated) = self.seated(phase, seat)? else { return Ok(Verdict::Next) };
            let (image, limits) = (&*self.pool.image, &self.pool.limits);
            let cpu = limits.cpu.min(seated.cpu_left);
            let (answer, used) = seated.isolate.call(image, phase, exchange, limits, cpu).await;
            self.record(phase, exchange, seated, &answer, used);
            answer
        };
        let answer = answer.await;
        self.settled(answer, seat)
    }

    /// The isolate of the exchange, if its hook is to be called.
    fn seated<'s>(&self, phase: Phase, seat: &'s mut Seat) -> Result<Option<&'s mut Seated>, Failure> {
        let Some(seated) = seat.as_mut().and_then(|seat| seat.downcast_mut::<Seated>()) else {
            return Err(Failure::new(FailureKind::Contract, "the seat holds another policy's isolate"));
        };
        if phase == Phase::Log {
            if !seated.isolate.is_usable() {
                // The client left in the middle of a hook. The isolate that it was torn out of can't be told.
                return Ok(None);
            }
            self.keeper.admit_log(&mut seated.permit)?;
        }
        if seated.cpu_left.is_zero() {
            // Hooks that are too short to be stopped are not called.
            let (hook, limits) = (Hook::of(phase), &self.pool.limits);
            self.keeper.record(&seated.permit, hook, true, Duration::ZERO, limits);
            let total = limits.cpu_total;
            let reason =
                format!("its earlier hooks have left nothing of the {total:?} of `limits.cpu_total`");
            return Err(in_hook(phase, FailureKind::CpuLimit, &reason));
        }
        Ok(Some(seated))
    }

    /// Counts a hook that was called.
    fn record(
        &self,
        phase: Phase,
        exchange: &mut Exchange,
        seated: &mut Seated,
        answer: &Result<Verdict, Failure>,
        used: Duration,
    ) {
        seated.cpu_left = seated.cpu_left.saturating_sub(used);
        let used = used + seated.isolate.take_making();
        let memory = seated.isolate.memory_peak();
        exchange.policy_time += used;
        exchange.policy_memory = exchange.policy_memory.max(memory);
        self.account.called(used, memory, seated.isolate.take_host_calls());
        let bad = answer.as_ref().is_err_and(|failure| failure.kind.is_its_fault());
        self.keeper.record(&seated.permit, Hook::of(phase), bad, used, &self.pool.limits);
    }

    /// Whoever failed is not asked again.
    fn settled(&self, answer: Result<Verdict, Failure>, seat: &mut Seat) -> Result<Verdict, Failure> {
        if let Err(failure) = &answer {
            self.account.failed(failure.kind);
            *seat = None;
        }
        answer
    }

    /// An isolate for an exchange, if it may have one; none: it has to be waited for.
    fn sit_down_now(&self, now: Instant) -> Option<Result<Seated, Failure>> {
        let inside = turnstile::enter_at_once()?;
        let isolate = self.pool.take_idle()?;
        match self.keeper.admit(&self.pool.limits, now) {
            Ok(permit) => Some(Ok(self.seat(isolate, permit, inside))),
            Err(failure) => {
                self.pool.put_back(isolate);
                Some(Err(failure))
            }
        }
    }

    /// The same, with waiting.
    async fn sit_down(&self) -> Result<Seated, Failure> {
        let permit = self.keeper.admit(&self.pool.limits, Instant::now())?;
        let inside = turnstile::enter().await;
        let isolate = match self.pool.take_idle() {
            Some(isolate) => isolate,
            None => {
                self.account.made_isolate();
                // Most exchanges find one: what making one needs is not to be in every future.
                Box::pin(self.pool.make()).await?
            }
        };
        Ok(self.seat(isolate, permit, inside))
    }

    fn seat(&self, isolate: Box<Isolate>, permit: Permit, inside: Inside) -> Seated {
        Seated { isolate, permit, _inside: inside, cpu_left: self.pool.limits.cpu_total }
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
        if self.is_short()
            && let Some(answer) = self.ask_now(phase, exchange, seat)
        {
            return Answer::Ready(answer);
        }
        Answer::Wait(Box::pin(self.ask(phase, exchange, seat)))
    }

    fn leave(&self, seat: Seat) {
        if let Some(seated) = seat.and_then(|seat| seat.downcast::<Seated>().ok()) {
            self.pool.give_back(seated.isolate);
        }
    }
}
