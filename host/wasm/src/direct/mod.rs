//! Guests that are called directly.
//!
//! A component's functions can be called in two ways. Wasmtime's own works for every component; each call costs some
//! thousand instructions for handles, tasks and borrows that it has to look after. Most policies have none of that:
//! their component is one core module, whose functions are given and give numbers, texts and lists
//! ([`Rewindable`] says which these are). Such a module is instantiated by itself, its hooks are called as core
//! functions, and what passes between it and the host is read and written here: [`abi`] has the values, [`imports`]
//! the host's functions.
//!
//! The guest can't tell the difference. What holds it in its sandbox is the same: the core module is what computes
//! either way, in the same store with the same limits.

mod abi;
mod imports;

use limen_policy::Phase;
use wasmtime::{InstancePre, ModuleExport, Store, TypedFunc};

pub(crate) use imports::{Passage, linker};

use crate::capability::bindings::limen::policy::types::{ChunkVerdict, Verdict};
use crate::engine::Engine;
use crate::hook::Said;
use crate::plugin::core_export;
use crate::rewind::{self, Kernel, Memory, Rewindable, Rewound, StartPages};
use crate::state::State;

/// A module that is called directly: what its instances are made from.
pub(crate) struct Direct {
    pre: InstancePre<State>,
    memory: ModuleExport,
    realloc: Option<ModuleExport>,
    /// The hooks, and the entrances that are for the first one of an exchange.
    hooks: [[Option<ModuleExport>; Phase::ALL.len()]; 2],
    tick: Option<ModuleExport>,
    /// What an instance is put back to.
    pub(crate) start: StartPages,
}

type Head = Box<TypedFunc<(), u32>>;

/// One of its instances.
pub(crate) struct Instance {
    instance: wasmtime::Instance,
    passage: Passage,
    /// Those that were called already, in the same order: each is looked up and checked once.
    heads: [[Option<Head>; Phase::ALL.len()]; 2],
    /// Whether a hook was called in this exchange.
    begun: bool,
    written: Memory,
}

impl Direct {
    /// Makes one of a component; the error says why it is not called directly.
    pub(crate) fn of(engine: &Engine, component: &[u8]) -> Result<Self, String> {
        let linker = engine.core_linker().ok_or("what crosses is counted, by components")?;
        let Rewindable { module, start, memory, realloc } = Rewindable::prepare(component, core_export)?;
        let told = |error: wasmtime::Error| crate::plugin::one_line(&error);
        let module = engine.compile_module(&module).map_err(told)?;
        let find = |name: &str| module.get_export_index(name);
        let hooks = Phase::ALL.map(|phase| find(&core_export(phase)));
        let firsts = Phase::ALL.map(|phase| find(&rewind::first(&core_export(phase))));
        let missing = |what: &str| format!("its core module has no {what}");
        Ok(Direct {
            pre: linker.instantiate_pre(&module).map_err(told)?,
            memory: find(&memory).ok_or_else(|| missing("memory"))?,
            realloc: match realloc {
                Some(name) => Some(find(&name).ok_or_else(|| missing("realloc"))?),
                None => None,
            },
            hooks: [hooks, firsts],
            tick: find(TICK),
            start,
        })
    }

    /// A new instance, as its component starts.
    pub(crate) async fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Instance> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let memory =
            instance.get_module_export(&mut *store, &self.memory).and_then(wasmtime::Extern::into_memory);
        let memory = memory.ok_or_else(|| wasmtime::format_err!("its memory is none"))?;
        let realloc = match &self.realloc {
            Some(export) => Some(*function::<(u32, u32, u32, u32), u32>(store, &instance, export)?.func()),
            None => None,
        };
        let passage = Passage { memory, realloc };
        store.data_mut().passage = Some(passage);
        Ok(Instance {
            instance,
            passage,
            heads: Default::default(),
            begun: false,
            written: Memory::default(),
        })
    }
}

/// The core function of `hook-tick`, as wit-bindgen names it.
const TICK: &str = "limen:policy/hook-tick@0.1.0#on-tick";

fn function<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
    store: &mut Store<State>,
    instance: &wasmtime::Instance,
    export: &ModuleExport,
) -> wasmtime::Result<TypedFunc<P, R>> {
    let function = instance.get_module_export(&mut *store, export).and_then(wasmtime::Extern::into_func);
    function.ok_or_else(|| wasmtime::format_err!("a hook is no function"))?.typed(&*store)
}

impl Instance {
    /// Calls a hook of its exchange; one that it has not says `next`.
    pub(crate) async fn call(
        &mut self,
        direct: &Direct,
        store: &mut Store<State>,
        phase: Phase,
    ) -> wasmtime::Result<Said> {
        let first = !std::mem::replace(&mut self.begun, true);
        let [hooks, firsts] = &direct.hooks;
        let exports = if first && phase.may_be_first() { firsts } else { hooks };
        let Some(export) = exports.get(phase as usize).and_then(Option::as_ref) else {
            return Ok(Said::Head(Verdict::Next));
        };
        match phase {
            Phase::RequestChunk | Phase::ResponseChunk => {
                // It is given something, and making room for that would run before globals are put back.
                wasmtime::ensure!(!first, "a piece of a body before its head");
                self.chunk(store, export).await
            }
            Phase::Log => {
                function::<(), ()>(store, &self.instance, export)?.call_async(&mut *store, ()).await?;
                Ok(Said::Head(Verdict::Next))
            }
            _ => {
                let [hooks, firsts] = &mut self.heads;
                let known = if first { firsts } else { hooks }.get_mut(phase as usize);
                let Some(known) = known else { return Ok(Said::Head(Verdict::Next)) };
                let hook = match known {
                    Some(hook) => hook,
                    None => known.insert(Box::new(function(store, &self.instance, export)?)),
                };
                verdict(hook.call_async(&mut *store, ()).await?)
            }
        }
    }

    async fn chunk(&self, store: &mut Store<State>, export: &ModuleExport) -> wasmtime::Result<Said> {
        let hook = function::<(u32, u32, u32), u32>(store, &self.instance, export)?;
        let chunk = store.data().exchange.chunk().map(|chunk| (chunk.data.clone(), chunk.last));
        let (data, last) = chunk.unwrap_or_default();
        let size = u32::try_from(data.len())?;
        let realloc =
            self.passage.realloc.ok_or_else(|| wasmtime::format_err!("it makes no room for chunks"))?;
        let realloc = realloc.typed::<(u32, u32, u32, u32), u32>(&*store)?;
        let at = realloc.call_async(&mut *store, (0, 0, 1, size)).await?;
        self.passage.memory.write(&mut *store, at as usize, &data)?;
        chunk_verdict(hook.call_async(&mut *store, (at, size, u32::from(last))).await?)
    }

    /// Calls the hook beside all exchanges; the inner error is the guest's own.
    pub(crate) async fn tick(
        &self,
        direct: &Direct,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Result<(), String>> {
        let Some(export) = &direct.tick else { return Ok(Ok(())) };
        let at = function::<(), u32>(store, &self.instance, export)?.call_async(&mut *store, ()).await?;
        let answer = abi::result_of_text(self.passage.memory.data(&*store), at as usize)?;
        Ok(answer.map_err(str::to_owned))
    }

    /// Makes it what it was before its first exchange.
    pub(crate) fn rewind(&mut self, direct: &Direct, store: &mut Store<State>, kernel: &Kernel) -> Rewound {
        self.begun = false;
        self.written.rewind(self.passage.memory.data_mut(store), &direct.start, kernel)
    }
}

fn verdict(case: u32) -> wasmtime::Result<Said> {
    Ok(Said::Head(match case {
        0 => Verdict::Next,
        1 => Verdict::Reply,
        2 => Verdict::WantBody,
        3 => Verdict::WantChunks,
        4 => Verdict::Fail,
        _ => wasmtime::bail!("a verdict that there is not: {case}"),
    }))
}

fn chunk_verdict(case: u32) -> wasmtime::Result<Said> {
    Ok(Said::Chunk(match case {
        0 => ChunkVerdict::Pass,
        1 => ChunkVerdict::PassRest,
        2 => ChunkVerdict::Reply,
        3 => ChunkVerdict::Emitted,
        4 => ChunkVerdict::Drop,
        5 => ChunkVerdict::Fail,
        _ => wasmtime::bail!("a verdict that there is not: {case}"),
    }))
}
