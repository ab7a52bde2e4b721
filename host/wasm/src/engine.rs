//! The engine: one for the process, with its pool of isolates, linker and epochs.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;

use rayon::{ThreadPool, ThreadPoolBuilder};
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, Module, OptLevel, PoolingAllocationConfig};

use crate::capability::Link;
use crate::capability::cache::Caches;
use crate::capability::counters::Counters;
use crate::code_cache::CodeCache;
use crate::direct;
use crate::epochs;
use crate::fetches::Everybodys;
use crate::meters::AllMeters;
use crate::rewind::Kernel;
use crate::state::State;

/// How many isolates there can be at once. Each reserves 4 GiB of addresses for its memory, and a
/// few kernel mappings while in use (`vm.max_map_count` is 65,530 by default).
pub(crate) const ISOLATES: u32 = 4096;
/// How many isolates that are gone leave their memory mapped for the next one: with `KEPT_DIRTY` each, this
/// bounds what an idle gateway holds on to (32 MiB if every one of them had once written that much; a small
/// policy writes some 30 KiB). Each new version of a plugin takes other places until there are so many, some 60 KiB
/// for one of the smallest: with 128 a gateway would seem to leak for 300 swaps. Isolates that wait for their next
/// exchange are not among them, so that it matters only when the load recedes.
const WARM: u32 = 32;
/// Memory of an isolate that is put back rather than given back to the kernel, in bytes: of what was
/// written, where the kernel says what that is, and of what comes first, where it doesn't.
const KEPT_DIRTY: usize = 1 << 20;
const KEPT: usize = 256 << 10;
/// Core modules in one component: a policy has its own and a few that adapt WASI.
const CORE_MODULES_EACH: u32 = 4;
/// The most memory that one isolate may be given (`limits.memory`).
const MAX_MEMORY: usize = 1 << 30;
/// The niceness of threads that compile; 19 would starve them on a busy machine.
const NICE: i32 = 10;
/// The stack of a guest; on a fiber once more of the guest while it makes room for what a host function gives it.
/// What host functions need comes on top.
const STACK: usize = 512 << 10;

/// Wasmtime, set up for isolates that live as long as an exchange.
pub struct Engine {
    wasmtime: wasmtime::Engine,
    linker: Linker<State>,
    /// The same for guests that are called directly; none: all go through wasmtime's components.
    core_linker: Option<wasmtime::Linker<State>>,
    /// Whether workers serve, who have to be left their cores by those who compile.
    serves: AtomicBool,
    code_cache: Option<CodeCache>,
    pub(crate) counters: Arc<Counters>,
    /// What plugins do of their own accord.
    pub(crate) counted: Everybodys,
    pub(crate) caches: Caches,
    pub(crate) meters: AllMeters,
    reset: MemoryReset,
    /// Who tells what an isolate has written, so that it can be rewound; none: isolates are made anew.
    kernel: Option<Kernel>,
    /// Set when the kernel was found not to tell the truth.
    distrusted: AtomicBool,
}

/// How the memory of an isolate becomes what it was before the next exchange gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MemoryReset {
    /// The kernel says which pages were written; only those are put back (Linux 6.7, no swap: a
    /// dirty page that was swapped out would be missed).
    DirtyPages,
    /// The first 256 KiB are put back, the rest is given back to the kernel.
    KeepResident,
}

/// The engine could not be set up on this machine.
#[derive(Debug)]
pub struct EngineError(wasmtime::Error);

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not set up the WebAssembly engine: {:#}", self.0)
    }
}

impl EngineError {
    pub(crate) fn hint(&self) -> String {
        format!("it reserves addresses for {ISOLATES} isolates of 4 GiB each; `ulimit -v` must be unlimited")
    }
}

impl std::error::Error for EngineError {}

impl Engine {
    pub(crate) fn new(code_cache: Option<CodeCache>, link: Link) -> Result<Arc<Self>, EngineError> {
        Self::build(code_cache, link).map(Arc::new).map_err(EngineError)
    }

    fn build(code_cache: Option<CodeCache>, link: Link) -> wasmtime::Result<Self> {
        let reset = MemoryReset::detect();
        // A kernel that can't scan is found out here.
        let (wasmtime, reset) = match wasmtime::Engine::new(&config(reset)) {
            Err(_) if reset == MemoryReset::DirtyPages => {
                (wasmtime::Engine::new(&config(MemoryReset::KeepResident))?, MemoryReset::KeepResident)
            }
            engine => (engine?, reset),
        };
        let mut linker = Linker::new(&wasmtime);
        // Stock WASI with nothing granted: clocks, random numbers, an empty environment, no files,
        // no sockets, output to the log.
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        link.fill(&mut linker)?;
        let core_linker = match link {
            Link::Serving => Some(direct::linker(&wasmtime)?),
            Link::Counting => None,
        };
        epochs::watch(&wasmtime)?;
        Ok(Engine {
            wasmtime,
            linker,
            core_linker,
            serves: AtomicBool::new(false),
            code_cache,
            counters: Arc::default(),
            counted: Everybodys::default(),
            caches: Caches::default(),
            meters: AllMeters::default(),
            reset,
            kernel: Kernel::ask(),
            distrusted: AtomicBool::new(false),
        })
    }

    /// How the memory of isolates that can't be rewound is reset, for the log.
    pub fn memory_reset(&self) -> &'static str {
        match self.reset {
            MemoryReset::DirtyPages => "dirty pages (pagemap scan)",
            MemoryReset::KeepResident => "256 KiB kept resident",
        }
    }

    /// Takes a second or so. The threads that do it end with it, and leave nothing behind: those that stayed
    /// would hold on to a part of what they had taken, a little more after each new version.
    pub(crate) fn compile(&self, bytes: &[u8]) -> wasmtime::Result<Component> {
        compiler(self.serves.load(Ordering::Relaxed))?.install(|| Component::new(&self.wasmtime, bytes))
    }

    /// The same for a core module.
    pub(crate) fn compile_module(&self, bytes: &[u8]) -> wasmtime::Result<Module> {
        compiler(self.serves.load(Ordering::Relaxed))?.install(|| Module::new(&self.wasmtime, bytes))
    }

    /// From now on compiling leaves the workers their cores.
    pub(crate) fn step_back(&self) {
        self.serves.store(true, Ordering::Relaxed);
    }

    pub(crate) fn code_cache(&self) -> Option<&CodeCache> {
        self.code_cache.as_ref()
    }

    /// Who tells what was written, if isolates can be rewound here.
    pub(crate) fn kernel(&self) -> Option<&Kernel> {
        self.kernel.as_ref().filter(|_| !self.distrusted.load(Ordering::Relaxed))
    }

    /// The kernel does not tell the truth: no isolate is rewound any more.
    pub(crate) fn distrust_kernel(&self) {
        if !self.distrusted.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the kernel did not tell of every page written: isolates are made anew from now on"
            );
        }
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    pub(crate) fn linker(&self) -> &Linker<State> {
        &self.linker
    }

    /// What core modules are linked with, if they are called directly.
    pub(crate) fn core_linker(&self) -> Option<&wasmtime::Linker<State>> {
        self.core_linker.as_ref()
    }
}

impl MemoryReset {
    /// The better one, if the machine has no swap; whether the kernel has it the engine finds out.
    fn detect() -> Self {
        // The first line of /proc/swaps is a heading.
        let no_swap = std::fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() <= 1);
        if no_swap { MemoryReset::DirtyPages } else { MemoryReset::KeepResident }
    }
}

fn config(reset: MemoryReset) -> Config {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(ISOLATES)
        .total_core_instances(ISOLATES * CORE_MODULES_EACH)
        .total_memories(ISOLATES)
        .total_tables(ISOLATES * 2)
        // A second one while the guest makes room for what it has waited for; its store keeps it for that.
        .total_stacks(ISOLATES * 2)
        .max_core_instances_per_component(CORE_MODULES_EACH)
        .max_memories_per_component(1)
        .max_tables_per_component(2)
        .max_memory_size(MAX_MEMORY)
        .max_unused_warm_slots(WARM)
        .table_keep_resident(16 << 10);
    match reset {
        MemoryReset::DirtyPages => {
            pool.pagemap_scan(Enabled::Yes).linear_memory_keep_resident(KEPT_DIRTY);
        }
        MemoryReset::KeepResident => {
            pool.pagemap_scan(Enabled::No).linear_memory_keep_resident(KEPT);
        }
    }

    let mut config = Config::new();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .concurrency_support(false)
        .gc_support(false)
        .native_unwind_info(false)
        .max_wasm_stack(STACK)
        .async_stack_size(2 * STACK + (256 << 10))
        .cranelift_opt_level(OptLevel::Speed);
    config
}

/// All cores; beside workers half of them, and those only while nobody else wants them: a plugin that is
/// compiled should not be seen in the latency of requests.
fn compiler(beside_workers: bool) -> wasmtime::Result<ThreadPool> {
    let cores = available_parallelism().map_or(1, NonZero::get);
    let pool = ThreadPoolBuilder::new()
        .num_threads(if beside_workers { cores.div_ceil(2) } else { cores })
        .thread_name(|number| format!("limen-compile-{number}"))
        .start_handler(move |_| {
            if beside_workers {
                // Linux counts niceness by thread. Where it can't be had, it takes part like all others.
                let _ = rustix::process::setpriority_process(None, NICE);
            }
        })
        .build()?;
    Ok(pool)
}
