//! One isolate: a store and its instance. It serves one exchange at a time.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limen_config::PluginLimits;
use limen_policy::{Exchange, Failure, FailureKind, Phase, Verdict};
use wasmtime::component::{ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Lower};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::direct::{self, Direct};
use crate::engine::Engine;
use crate::hook::{self, Hooks, Said, Unusable};
use crate::image::Image;
use crate::meter::{metered, metered_here};
use crate::plugin::Exports;
use crate::rewind::Rewound;
use crate::state::{Grounds, State, on_tick};

/// How long `describe` and `configure` may run.
pub(crate) const LOAD_LIMIT: Duration = Duration::from_secs(5);
/// What wasmtime says of a call that brings more than it may: its type for this is its own.
pub(crate) const OUT_OF_FUEL: &str = "fuel allocated for hostcalls has been exhausted";

pub(crate) struct Isolate {
    pub(crate) store: Store<State>,
    pub(crate) guest: Guest,
    /// Set while a call is under way and when one went wrong: a store that trapped, or whose call
    /// was dropped half-way, is never used again.
    dead: bool,
    /// What it has computed for while it was made, until that is asked.
    making: Duration,
}

/// What isolates are made of.
pub(crate) enum Code {
    Component(InstancePre<State>),
    /// The core module of a component, which is called without what is around it.
    Direct(Box<Direct>),
}

/// What is in an isolate.
pub(crate) enum Guest {
    Component { instance: Instance, hooks: Hooks },
    Direct(direct::Instance),
}

impl Code {
    async fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Guest> {
        Ok(match self {
            Code::Component(pre) => {
                Guest::Component { instance: pre.instantiate_async(store).await?, hooks: Hooks::default() }
            }
            Code::Direct(direct) => Guest::Direct(direct.instantiate(store).await?),
        })
    }
}

impl Isolate {
    /// A new instance, as its component starts.
    pub(crate) async fn start(
        engine: &Engine,
        code: &Code,
        grounds: Arc<Grounds>,
        limits: &PluginLimits,
    ) -> Result<Self, Failure> {
        let mut store = bounded_store(engine, State::new(grounds, limits));
        store.data_mut().arm(limits.cpu);
        let (started, making) = metered(limits.wall, pin!(code.instantiate(&mut store))).await;
        match started {
            Some(Ok(guest)) => Ok(Isolate { store, guest, dead: false, making }),
            Some(Err(error)) => Err(failure(&store, &error)),
            None => Err(Failure::new(
                FailureKind::WallLimit,
                format!("it took longer than {:?} to start", limits.wall),
            )),
        }
    }

    pub(crate) fn is_usable(&self) -> bool {
        !self.dead
    }

    /// Makes the isolate what it was before its first exchange; false if that can't be done, and then it is
    /// not to be used again.
    pub(crate) fn rewind(&mut self, code: &Code, engine: &Engine) -> bool {
        let Some(kernel) = engine.kernel() else { return false };
        let (Guest::Direct(instance), Code::Direct(direct)) = (&mut self.guest, code) else { return false };
        if self.dead || self.store.data().limits.grown {
            return false;
        }
        self.store.data_mut().renew();
        match instance.rewind(direct, &mut self.store, kernel) {
            Rewound::Yes => true,
            Rewound::No => false,
            Rewound::Lied => {
                engine.distrust_kernel();
                false
            }
        }
    }

    /// How often the guest has called the host since this was last asked.
    pub(crate) fn take_host_calls(&mut self) -> u64 {
        std::mem::take(&mut self.store.data_mut().host_calls)
    }

    /// How long it computed while it was made: none if that was asked before.
    pub(crate) fn take_making(&mut self) -> Duration {
        std::mem::take(&mut self.making)
    }

    /// The largest memory that it had, in bytes.
    pub(crate) fn memory_peak(&self) -> u64 {
        self.store.data().limits.memory_peak
    }

    /// Asks one hook: what it says, and how long it computed, which is `cpu` at most. The exchange is the
    /// guest's for the time of the call, and comes back also when the call fails.
    pub(crate) async fn call(
        &mut self,
        image: &Image,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        limits: &PluginLimits,
        cpu: Duration,
    ) -> (Result<Verdict, Failure>, Duration) {
        self.dead = true;
        let (result, used) = {
            let lent = Lent::lend(self, exchange);
            metered(limits.wall, pin!(hook::run(lent.isolate, image, phase, cpu))).await
        };
        let answer = match result {
            None => Err(Failure::new(
                FailureKind::WallLimit,
                format!("the {} hook took longer than {:?}", phase.name(), limits.wall),
            )),
            Some(said) => self.answer(said, image, phase, exchange),
        };
        (answer, used)
    }

    /// The same on the stack of whoever asks, of a guest that never waits; it has just become `now`.
    pub(crate) fn call_here(
        &mut self,
        image: &Image,
        phase: Phase,
        exchange: &mut Box<Exchange>,
        cpu: Duration,
        now: Instant,
    ) -> (Result<Verdict, Failure>, Duration) {
        self.dead = true;
        let (said, used) = {
            let lent = Lent::lend(self, exchange);
            metered_here(now, || hook::run_here(lent.isolate, image, phase, cpu))
        };
        (self.answer(said, image, phase, exchange), used)
    }

    /// What a call came to that has ended.
    fn answer(
        &mut self,
        said: wasmtime::Result<Said>,
        image: &Image,
        phase: Phase,
        exchange: &Exchange,
    ) -> Result<Verdict, Failure> {
        let said = said.map_err(|error| {
            let Failure { kind, reason } = failure(&self.store, &error);
            in_hook(phase, kind, &reason)
        })?;
        self.dead = false;
        hook::judge(said, &image.exports, phase, exchange).map_err(|said| self.failed(phase, said))
    }

    /// A hook that ended well, and not with what it may say there.
    fn failed(&mut self, phase: Phase, said: Unusable) -> Failure {
        let (kind, reason) = match said {
            Unusable::Failed => {
                let reason = self.store.data_mut().failure.take();
                (FailureKind::Failed, reason.unwrap_or_else(|| "it gave no reason".to_owned()))
            }
            Unusable::Lie(reason) => (FailureKind::Contract, reason),
        };
        in_hook(phase, kind, &reason)
    }

    /// Calls the hook beside all exchanges: what it says, and how long it computed.
    pub(crate) async fn tick(
        &mut self,
        image: &Image,
        exchange: &mut Box<Exchange>,
        limits: &PluginLimits,
    ) -> (Result<(), Failure>, Duration) {
        self.dead = true;
        let (result, used) = {
            let Lent { isolate, .. } = &mut Lent::lend(self, exchange);
            arm(&mut isolate.store, limits.cpu);
            let called = pin!(hook::tick(isolate, image));
            metered(limits.wall, called).await
        };
        let answer = match result {
            None => Err(Failure::new(
                FailureKind::WallLimit,
                format!("the tick hook took longer than {:?}", limits.wall),
            )),
            Some(Err(error)) => Err(failure(&self.store, &error)),
            Some(Ok(answer)) => {
                self.dead = false;
                answer.map_err(|reason| Failure::new(FailureKind::Failed, reason))
            }
        };
        (answer, used)
    }

    /// Calls `describe`.
    pub(crate) async fn describe(&mut self, exports: &Exports) -> Result<String, Failure> {
        Ok(self.load_call::<_, (String,)>("describe", exports.describe, ()).await?.0)
    }

    /// Calls `configure`; the inner error is the guest's own refusal.
    pub(crate) async fn configure(
        &mut self,
        exports: &Exports,
        json: &str,
    ) -> Result<Result<(), String>, Failure> {
        Ok(self.load_call::<_, (Result<(), String>,)>("configure", exports.configure, (json,)).await?.0)
    }

    async fn load_call<P, R>(
        &mut self,
        name: &str,
        index: ComponentExportIndex,
        args: P,
    ) -> Result<R, Failure>
    where
        P: ComponentNamedList + Lower + Send + Sync,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        self.dead = true;
        arm(&mut self.store, LOAD_LIMIT);
        let (result, used) = {
            let call = pin!(async {
                let Guest::Component { instance, .. } = &self.guest else {
                    wasmtime::bail!("only components are loaded")
                };
                let function = instance.get_typed_func::<P, R>(&mut self.store, index)?;
                function.call_async(&mut self.store, args).await
            });
            metered(LOAD_LIMIT, call).await
        };
        self.making += used;
        match result {
            None => Err(Failure::new(FailureKind::WallLimit, format!("{name} took longer than 5 s"))),
            Some(Err(error)) => Err(failure(&self.store, &error)),
            Some(Ok(result)) => {
                self.dead = false;
                Ok(result)
            }
        }
    }
}

/// An exchange that is in an isolate's store. It comes back when this is dropped, also when the call
/// is dropped half-way because the client has gone.
struct Lent<'a> {
    isolate: &'a mut Isolate,
    exchange: &'a mut Box<Exchange>,
}

impl<'a> Lent<'a> {
    fn lend(isolate: &'a mut Isolate, exchange: &'a mut Box<Exchange>) -> Self {
        std::mem::swap(&mut isolate.store.data_mut().exchange, exchange);
        Lent { isolate, exchange }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        std::mem::swap(&mut self.isolate.store.data_mut().exchange, self.exchange);
    }
}

/// A store with every bound in place; an unset epoch deadline would trap at once.
pub(crate) fn bounded_store(engine: &Engine, state: State) -> Store<State> {
    let mut store = Store::new(engine.wasmtime(), state);
    store.limiter(|state| &mut state.limits);
    store.epoch_deadline_callback(on_tick);
    store.set_epoch_deadline(1);
    let bytes = store.data().limits.host_call_bytes;
    store.set_hostcall_fuel(usize::try_from(bytes).unwrap_or(usize::MAX));
    store.set_max_component_handles(4096);
    store
}

/// Gives the next call its full budget, and has it look up at the next tick.
pub(crate) fn arm(store: &mut Store<State>, cpu: Duration) {
    store.data_mut().arm(cpu);
    store.set_epoch_deadline(1);
}

/// A failure of this hook.
pub(crate) fn in_hook(phase: Phase, kind: FailureKind, reason: &str) -> Failure {
    Failure::new(kind, format!("{} hook: {reason}", phase.name()))
}

/// What an error of wasmtime means for who looks after the policy.
pub(crate) fn failure(store: &Store<State>, error: &wasmtime::Error) -> Failure {
    let limits = &store.data().limits;
    if limits.cpu_hit {
        let whose = if limits.cpu < limits.cpu_of_hook {
            "that was left of `limits.cpu_total`"
        } else {
            "of `limits.cpu`"
        };
        let reason = format!("it computed for longer than the {:?} {whose}", limits.cpu);
        return Failure::new(FailureKind::CpuLimit, reason);
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return Failure::new(FailureKind::NoIsolate, format!("{error:#}"));
    }
    if limits.memory_hit {
        return Failure::new(
            FailureKind::MemoryLimit,
            format!(
                "it wanted more than the {} bytes of `limits.memory`, then: {}",
                limits.memory,
                root(error)
            ),
        );
    }
    if root(error).ends_with(OUT_OF_FUEL) {
        return Failure::new(
            FailureKind::HostCallLimit,
            "one of its calls brought more bytes than `limits.host_call_bytes`",
        );
    }
    // A panic says so in the log, and then comes the instruction that there is no way past.
    if let (Some(Trap::UnreachableCodeReached), Some(said)) = (error.downcast_ref(), &store.data().last_error)
    {
        let said = said.lines().collect::<Vec<_>>().join("; ");
        return Failure::new(FailureKind::Trap, format!("{said} ({})", root(error)));
    }
    let kind = if error.is::<Trap>() { FailureKind::Trap } else { FailureKind::Contract };
    Failure::new(kind, with_place(error))
}

/// The innermost frames of a backtrace that are told.
const FRAMES: usize = 4;

/// In one line: the trap, which is the innermost cause, and where it was, which the wasm backtrace in front of it
/// says.
fn with_place(error: &wasmtime::Error) -> String {
    let told = error.to_string();
    let mut lines = told.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut reason = root(error);
    for line in lines.by_ref().take(1 + FRAMES) {
        reason.extend(["; ", line]);
    }
    match lines.count() {
        0 => reason,
        more => format!("{reason}; and {more} more"),
    }
}

fn root(error: &wasmtime::Error) -> String {
    error.root_cause().to_string()
}
