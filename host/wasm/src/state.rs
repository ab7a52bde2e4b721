//! What a store holds: the exchange at hand, and what bounds the guest.

use std::sync::Arc;

use limen_config::PluginLimits;
use limen_policy::Exchange;
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

use crate::capability::counters::Shelf;
use crate::capability::log::LogBudget;
use crate::engine::TICK;
use crate::image::Settings;
use crate::wasi::Wasi;

/// The data of one isolate's store.
pub(crate) struct State {
    /// Swapped with the caller's for the time of a call; a blank one otherwise.
    pub(crate) exchange: Box<Exchange>,
    pub(crate) grounds: Arc<Grounds>,
    /// Made when the guest first asks for something of WASI: most never do.
    pub(crate) wasi: Option<Box<Wasi>>,
    pub(crate) log: LogBudget,
    /// What the guest gave as its reason for a `fail` verdict.
    pub(crate) failure: Option<String>,
    pub(crate) limits: Limits,
}

/// What every isolate of a pool shares: one reference to count instead of several.
pub(crate) struct Grounds {
    /// The plugin's name in the configuration.
    pub(crate) plugin: Arc<str>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) counters: Arc<Shelf>,
}

impl Grounds {
    /// Those of a component that is being loaded: it has settings, and no name or counters yet.
    pub(crate) fn of(settings: Arc<Settings>) -> Arc<Self> {
        Arc::new(Grounds { plugin: "(loading)".into(), settings, counters: Arc::default() })
    }

    pub(crate) fn blank() -> Arc<Self> {
        Self::of(Arc::default())
    }
}

/// The bounds of the call under way, and which one was hit.
pub(crate) struct Limits {
    /// The longest body that the guest may make, in bytes.
    pub(crate) body: u64,
    memory: u64,
    pub(crate) memory_hit: bool,
    ticks: u32,
    pub(crate) cpu_hit: bool,
}

impl State {
    pub(crate) fn new(grounds: Arc<Grounds>, limits: &PluginLimits) -> Self {
        State {
            exchange: Box::default(),
            grounds,
            wasi: None,
            log: LogBudget::default(),
            failure: None,
            limits: Limits {
                body: limits.body,
                memory: limits.memory,
                memory_hit: false,
                ticks: 0,
                cpu_hit: false,
            },
        }
    }

    /// Gives the next call its full budget.
    pub(crate) fn arm(&mut self, cpu: std::time::Duration) {
        self.limits.ticks = u32::try_from(cpu.div_duration_f64(TICK).ceil() as u64).unwrap_or(u32::MAX);
        self.failure = None;
        self.limits.memory_hit = false;
        self.limits.cpu_hit = false;
        self.log = LogBudget::default();
        if let Some(wasi) = &mut self.wasi {
            wasi.arm();
        }
    }
}

/// Called at every tick in which the guest runs: the worker goes round once, then the guest goes on,
/// until its CPU time is used up. Ticks in which it waits are not counted.
pub(crate) fn on_tick(mut store: StoreContextMut<'_, State>) -> wasmtime::Result<UpdateDeadline> {
    let limits = &mut store.data_mut().limits;
    match limits.ticks.checked_sub(1) {
        Some(left) => {
            limits.ticks = left;
            // tokio's own yield lets the worker look at its sockets before the guest goes on.
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        }
        None => {
            limits.cpu_hit = true;
            Ok(UpdateDeadline::Interrupt)
        }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let within = desired as u64 <= self.memory;
        self.memory_hit |= !within;
        Ok(within)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 20_000)
    }
}
