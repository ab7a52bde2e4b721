//! What a store holds: the exchange at hand, and what bounds the guest.

use std::sync::Arc;
use std::time::Duration;

use limen_config::PluginLimits;
use limen_policy::Exchange;
use limen_policy::vault::KeySet;
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

use crate::capability::cache::Cache;
use crate::capability::counters::Shelf;
use crate::capability::fetch::Calls;
use crate::capability::heads::Names;
use crate::capability::kv::Stores;
use crate::capability::log::LogBudget;
use crate::capability::secrets::GrantedSecret;
use crate::direct::Passage;
use crate::fetches::Fetches;
use crate::image::Settings;
use crate::keeper::Keeper;
use crate::meter;
use crate::meters::Meters;
use crate::plugin::loading_limits;
use crate::wasi::Wasi;

/// What may stand beside a body in the call that hands it over, in bytes.
const BESIDE_BODY: u64 = 64 << 10;

/// The data of one isolate's store.
pub(crate) struct State {
    /// Swapped with the caller's for the time of a call; a blank one otherwise.
    pub(crate) exchange: Box<Exchange>,
    pub(crate) grounds: Arc<Grounds>,
    /// Made when the guest first asks for something of WASI: most never do.
    pub(crate) wasi: Option<Box<Wasi>>,
    /// The same for calls to upstreams.
    pub(crate) calls: Option<Box<Calls>>,
    pub(crate) log: LogBudget,
    pub(crate) names: Names,
    /// How values pass, where the guest is called directly.
    pub(crate) passage: Option<Passage>,
    /// While it makes room for what it is given. Until that is done it may call nobody.
    pub(crate) makes_room: bool,
    /// Whether its call has a stack of its own, so that the worker can do something else in between.
    pub(crate) may_give_way: bool,
    /// What the guest gave as its reason for a `fail` verdict.
    pub(crate) failure: Option<String>,
    /// The last error that it wrote to the log in this call: what it says before it panics.
    pub(crate) last_error: Option<String>,
    pub(crate) limits: Limits,
    /// Calls of what the contract has, WASI left out.
    pub(crate) host_calls: u64,
}

/// What every isolate of a pool shares: one reference to count instead of several.
pub(crate) struct Grounds {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) limits: PluginLimits,
    pub(crate) settings: Arc<Settings>,
    pub(crate) counters: Arc<Shelf>,
    /// None: not granted.
    pub(crate) cache: Option<Arc<Cache>>,
    /// What is granted, and no others.
    pub(crate) secrets: Vec<GrantedSecret>,
    pub(crate) key_sets: Vec<Arc<KeySet>>,
    /// None: not granted.
    pub(crate) meters: Option<Arc<Meters>>,
    pub(crate) fetches: Fetches,
    pub(crate) stores: Stores,
    /// Whether the component imports `timing`.
    pub(crate) is_timed: bool,
}

impl Grounds {
    /// Those of a component that is being loaded: it has the name that it gives itself, settings, and no counters yet.
    pub(crate) fn loading(name: &str, settings: Arc<Settings>) -> Arc<Self> {
        Self::ungranted(Arc::new(Keeper::new(name, 0)), loading_limits(), settings)
    }

    /// Those of the same plugin while `configure` runs: then nothing is granted.
    pub(crate) fn configuring(&self) -> Arc<Self> {
        Self::ungranted(self.keeper.clone(), self.limits, self.settings.clone())
    }

    fn ungranted(keeper: Arc<Keeper>, limits: PluginLimits, settings: Arc<Settings>) -> Arc<Self> {
        Arc::new(Grounds {
            keeper,
            limits,
            settings,
            counters: Arc::default(),
            cache: None,
            secrets: Vec::new(),
            key_sets: Vec::new(),
            meters: None,
            fetches: Fetches::default(),
            stores: Stores::default(),
            is_timed: false,
        })
    }

    pub(crate) fn blank() -> Arc<Self> {
        Self::loading("(loading)", Arc::default())
    }

    /// The plugin's name in the configuration.
    pub(crate) fn plugin(&self) -> &Arc<str> {
        self.keeper.plugin()
    }
}

/// The bounds of the call under way, and which one was hit.
pub(crate) struct Limits {
    /// The longest body that the guest may make, in bytes.
    pub(crate) body: u64,
    /// What one call of the host may bring, in bytes.
    pub(crate) host_call_bytes: u64,
    /// Calls of the plugin that may be under way at the same time.
    pub(crate) fetches: usize,
    pub(crate) memory: u64,
    pub(crate) memory_hit: bool,
    /// Whether a memory or table is larger than at the start. Nothing makes it smaller again.
    pub(crate) grown: bool,
    /// The computing time that the call may use: what each hook may, or less if earlier ones have left less of what all
    /// of an exchange may;
    pub(crate) cpu: Duration,
    /// and what each may.
    pub(crate) cpu_of_hook: Duration,
    /// The largest memory there was, in bytes.
    pub(crate) memory_peak: u64,
    pub(crate) cpu_hit: bool,
}

impl State {
    pub(crate) fn new(grounds: Arc<Grounds>, limits: &PluginLimits) -> Self {
        State {
            exchange: Box::default(),
            grounds,
            wasi: None,
            calls: None,
            log: LogBudget::default(),
            names: Names::default(),
            passage: None,
            makes_room: false,
            may_give_way: true,
            failure: None,
            last_error: None,
            host_calls: 0,
            limits: Limits {
                body: limits.body,
                host_call_bytes: limits.host_call_bytes.max(limits.body.saturating_add(BESIDE_BODY)),
                fetches: limits.fetches,
                memory: limits.memory,
                memory_hit: false,
                grown: false,
                cpu: Duration::ZERO,
                cpu_of_hook: limits.cpu,
                memory_peak: 0,
                cpu_hit: false,
            },
        }
    }

    /// Forgets the exchange that is over, as far as the guest could see something of it.
    pub(crate) fn renew(&mut self) {
        // The exchange went back to who lent it. Budgets and the reason of a failure each call renews.
        self.wasi = None;
        self.calls = None;
        self.names = Names::default();
    }

    /// Gives the next call its full budget.
    pub(crate) fn arm(&mut self, cpu: Duration) {
        self.limits.cpu = cpu;
        self.failure = None;
        self.last_error = None;
        self.limits.memory_hit = false;
        self.limits.cpu_hit = false;
        self.log = LogBudget::default();
        if let Some(wasi) = &mut self.wasi {
            wasi.arm();
        }
    }
}

impl State {
    /// Whether the guest holds handles of the host, which can't be in an image of its memory, nor in an
    /// isolate for another exchange.
    pub(crate) fn holds_handles(&self) -> bool {
        self.wasi.as_ref().is_some_and(|wasi| wasi.holds_handles()) || self.holds_calls()
    }

    /// Whether it holds calls or answers to them.
    pub(crate) fn holds_calls(&self) -> bool {
        self.calls.as_ref().is_some_and(|calls| !calls.is_empty())
    }
}

/// Called at every tick in which the guest runs: the worker goes round once if it can, then the guest goes on,
/// until its CPU time is used up. That is what it really computed, host calls included, and not the ticks.
pub(crate) fn on_tick(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data_mut();
    let used = meter::used();
    if used >= state.limits.cpu {
        state.limits.cpu_hit = true;
        return Ok(UpdateDeadline::Interrupt);
    }
    Ok(match state.may_give_way {
        // tokio's own yield lets the worker look at its sockets before the guest goes on.
        true => UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())),
        false => UpdateDeadline::Continue(1),
    })
}

impl ResourceLimiter for Limits {
    /// Asked for each memory when its instance is made as well, and then it comes from nothing.
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grown |= current > 0;
        let within = desired as u64 <= self.memory;
        if within {
            self.memory_peak = self.memory_peak.max(desired as u64);
        }
        self.memory_hit |= !within;
        Ok(within)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.grown |= current > 0;
        Ok(desired <= 20_000)
    }
}
