//! Guests that are called directly.
//!
//! A component's functions can be called in two ways. Wasmtime's own works for every component; each call costs some
//! thousand instructions for handles, tasks and borrows that it has to look after. Most policies have none of that:
//! their component is one core module, whose functions are given and give numbers, texts and lists
//! ([`component`] says which these are). Such a module is instantiated by itself, its hooks are called as core
//! functions, and what passes between it and the host is read and written here: [`abi`] has the values, [`imports`]
//! the host's functions.
//!
//! The guest can't tell the difference. What holds it in its sandbox is the same: the core module is what computes
//! either way, in the same store with the same limits.

mod abi;
mod component;
mod imports;
mod module;

use bytes::Bytes;
use limen_policy::Phase;
use wasmtime::{InstancePre, ModuleExport, Store, TypedFunc};

pub(crate) use imports::{Passage, linker};

use abi::Source;
use component::{CoreModule, Hook, first};

use crate::capability::bindings::limen::policy::types::{ChunkVerdict, Verdict};
use crate::engine::Engine;
use crate::hook::Said;
use crate::plugin::{CONTRACT, Exports, one_line};
use crate::rewind::{Kernel, Memory, Rewound, StartPages};
use crate::state::State;

/// A module that is called directly: what its instances are made from.
pub(crate) struct Direct {
    pre: InstancePre<State>,
    memory: ModuleExport,
    realloc: Option<ModuleExport>,
    /// The hooks, and the entrances that are for the first one of an exchange.
    hooks: [[Option<ModuleExport>; Phase::ALL.len()]; 2],
    tick: Option<ModuleExport>,
    /// Whether it may have to wait for what it asks the host.
    pub(crate) waits: bool,
    /// Whether a hook that is called when the request has gone on can come to look at its headers.
    pub(crate) looks_back: bool,
    /// What an instance is put back to.
    pub(crate) start: StartPages,
}

type Head = Box<TypedFunc<(), u32>>;

/// A hook that is about to be called.
enum Called<'a> {
    Head(&'a TypedFunc<(), u32>),
    Log(TypedFunc<(), ()>),
    Chunk(Chunk),
}

/// The hook for a piece of a body, with the piece, for which room has to be made first.
struct Chunk {
    hook: TypedFunc<(u32, u32, u32), u32>,
    realloc: TypedFunc<(u32, u32, u32, u32), u32>,
    data: Bytes,
    size: u32,
    last: u32,
}

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
    pub(crate) fn of(engine: &Engine, component: &[u8], exports: &Exports) -> Result<Self, String> {
        let linker = engine.core_linker().ok_or("what crosses is counted, by components")?;
        let asked = Phase::ALL.into_iter().filter(|phase| exports.hook(*phase).is_some());
        let hooks = asked.map(|phase| Hook {
            name: core_name(phase.name()),
            may_be_first: phase.may_be_first(),
            is_last: false,
            looks_back: phase > Phase::RequestBody,
        });
        let tick = exports.tick.map(|_| Hook {
            name: core_name("tick"),
            may_be_first: false,
            is_last: true,
            looks_back: false,
        });
        let hooks: Vec<_> = hooks.chain(tick).collect();
        let CoreModule { bytes, start, memory, realloc, looks_back } = CoreModule::of(component, &hooks)?;
        let module = engine.compile_module(&bytes).map_err(|error| one_line(&error))?;
        let find = |name: &str| {
            module.get_export_index(name).ok_or_else(|| format!("its core module exports no `{name}`"))
        };
        let mut direct = Direct {
            pre: linker.instantiate_pre(&module).map_err(|error| one_line(&error))?,
            memory: find(&memory)?,
            realloc: realloc.as_deref().map(find).transpose()?,
            hooks: [[None; Phase::ALL.len()]; 2],
            tick: exports.tick.map(|_| find(&core_name("tick"))).transpose()?,
            waits: module.imports().any(|import| imports::may_wait(import.module(), import.name())),
            looks_back,
            start,
        };
        let [hooks, firsts] = &mut direct.hooks;
        for (phase, (hook, entrance)) in Phase::ALL.into_iter().zip(hooks.iter_mut().zip(firsts)) {
            if exports.hook(phase).is_some() {
                let name = core_name(phase.name());
                *hook = Some(find(&name)?);
                *entrance = phase.may_be_first().then(|| find(&first(&name))).transpose()?;
            }
        }
        Ok(direct)
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

/// The core function of a hook, as wit-bindgen names it.
fn core_name(hook: &str) -> String {
    format!("limen:policy/hook-{hook}@{CONTRACT}#on-{hook}")
}

fn function<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
    store: &mut Store<State>,
    instance: &wasmtime::Instance,
    export: &ModuleExport,
) -> wasmtime::Result<TypedFunc<P, R>> {
    let function = instance.get_module_export(&mut *store, export).and_then(wasmtime::Extern::into_func);
    function.ok_or_else(|| wasmtime::format_err!("a hook is no function"))?.typed(&*store)
}

impl Instance {
    /// Calls a hook of its exchange, which it has.
    pub(crate) async fn call(
        &mut self,
        direct: &Direct,
        store: &mut Store<State>,
        phase: Phase,
    ) -> wasmtime::Result<Said> {
        match self.hook(direct, store, phase)? {
            Called::Head(hook) => verdict(hook.call_async(store, ()).await?),
            Called::Log(hook) => hook.call_async(store, ()).await.map(|()| Said::Head(Verdict::Next)),
            Called::Chunk(Chunk { hook, realloc, data, size, last }) => {
                store.data_mut().makes_room = true;
                let at = realloc.call_async(&mut *store, (0, 0, 1, size)).await?;
                store.data_mut().makes_room = false;
                self.passage.memory.write(&mut *store, at as usize, &data)?;
                chunk_verdict(hook.call_async(store, (at, size, last)).await?)
            }
        }
    }

    /// The same on the stack of whoever asks, with nothing that waits.
    pub(crate) fn call_here(
        &mut self,
        direct: &Direct,
        store: &mut Store<State>,
        phase: Phase,
    ) -> wasmtime::Result<Said> {
        match self.hook(direct, store, phase)? {
            Called::Head(hook) => verdict(hook.call(store, ())?),
            Called::Log(hook) => hook.call(store, ()).map(|()| Said::Head(Verdict::Next)),
            Called::Chunk(Chunk { hook, realloc, data, size, last }) => {
                store.data_mut().makes_room = true;
                let at = realloc.call(&mut *store, (0, 0, 1, size))?;
                store.data_mut().makes_room = false;
                self.passage.memory.write(&mut *store, at as usize, &data)?;
                chunk_verdict(hook.call(store, (at, size, last))?)
            }
        }
    }

    /// The function of a hook, and what it is given.
    fn hook(
        &mut self,
        direct: &Direct,
        store: &mut Store<State>,
        phase: Phase,
    ) -> wasmtime::Result<Called<'_>> {
        let first = !std::mem::replace(&mut self.begun, true);
        let [hooks, firsts] = &direct.hooks;
        let exports = if first && phase.may_be_first() { firsts } else { hooks };
        let export = exports.get(phase as usize).and_then(Option::as_ref).ok_or_else(no_hook)?;
        match phase {
            Phase::RequestChunk | Phase::ResponseChunk => {
                // It is given something, and making room for that would run before globals are put back.
                wasmtime::ensure!(!first, "a piece of a body before its head");
                self.chunk(store, export).map(Called::Chunk)
            }
            Phase::Log => function(store, &self.instance, export).map(Called::Log),
            _ => {
                let [hooks, firsts] = &mut self.heads;
                let known = if first { firsts } else { hooks }.get_mut(phase as usize).ok_or_else(no_hook)?;
                Ok(Called::Head(match known {
                    Some(hook) => hook,
                    None => known.insert(Box::new(function(store, &self.instance, export)?)),
                }))
            }
        }
    }

    fn chunk(&self, store: &mut Store<State>, export: &ModuleExport) -> wasmtime::Result<Chunk> {
        let hook = function(store, &self.instance, export)?;
        let chunk = store.data().exchange.chunk().map(|chunk| (chunk.data.clone(), chunk.last));
        let (data, last) = chunk.unwrap_or_default();
        let size = u32::try_from(data.len())?;
        let realloc =
            self.passage.realloc.ok_or_else(|| wasmtime::format_err!("it makes no room for chunks"))?;
        Ok(Chunk { hook, realloc: realloc.typed(&*store)?, data, size, last: u32::from(last) })
    }

    /// Calls the hook beside all exchanges, after which the instance is thrown away; the inner error is the guest's own.
    pub(crate) async fn tick(
        &self,
        direct: &Direct,
        store: &mut Store<State>,
    ) -> wasmtime::Result<Result<(), String>> {
        let export = direct.tick.as_ref().ok_or_else(no_hook)?;
        let at = function::<(), u32>(store, &self.instance, export)?.call_async(&mut *store, ()).await?;
        let left = store.data().limits.host_call_bytes;
        abi::result_of_text(at as usize, &mut Source { memory: self.passage.memory.data(&*store), left })
    }

    /// Makes it what it was before its first exchange.
    pub(crate) fn rewind(&mut self, direct: &Direct, store: &mut Store<State>, kernel: &Kernel) -> Rewound {
        self.begun = false;
        self.written.rewind(self.passage.memory.data_mut(store), &direct.start, kernel)
    }
}

#[cold]
fn no_hook() -> wasmtime::Error {
    wasmtime::format_err!("it has no such hook")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::Link;
    use crate::isolate::bounded_store;
    use crate::meter::{metered, metered_here};
    use crate::plugin::loading_limits;
    use crate::state::Grounds;
    use limen_config::Store as Terms;
    use limen_store::{Life, Store as _};
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::{Duration, Instant};
    use wasmtime::Trap;

    /// Goes so deep, then asks for its path, for which it makes room without end.
    const DEEP: &str = r#"(module
        (import "limen:policy/request" "path" (func $path (param i32)))
        (memory (export "memory") 1)
        (func $endless (param i32) (result i32)
            (i32.add (call $endless (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (call $endless (i32.const 0)))
        (func $deep (export "deep") (param $depth i32) (param $ask i32)
            (if (local.get $depth)
                (then (call $deep (i32.sub (local.get $depth) (i32.const 1)) (local.get $ask)))
                (else (if (local.get $ask) (then (call $path (i32.const 1024))))))))"#;

    /// What a guest is called on.
    #[derive(Clone, Copy, Debug)]
    enum Stack {
        Fiber,
        /// That of whoever calls.
        Here,
    }

    /// Calls `deep` of an instance of its own, within so much computing time.
    async fn deep(
        engine: &Engine,
        pre: &InstancePre<State>,
        stack: Stack,
        (depth, asks): (u32, bool),
        cpu: Duration,
    ) -> wasmtime::Result<()> {
        let terms = Terms { name: "store".to_owned(), shared: false, size: 1 << 20, ttl: None };
        let kept = limen_store::Memory::new(&terms);
        kept.set("store", Bytes::from_static(b"value"), Life::Usual).await.unwrap();
        let mut grounds = Grounds::blank();
        Arc::get_mut(&mut grounds).unwrap().stores.granted.push(("store".to_owned(), Arc::new(kept)));
        let mut store = bounded_store(engine, State::new(grounds, &loading_limits()));
        store.data_mut().arm(cpu);
        let instance = pre.instantiate_async(&mut store).await?;
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let realloc = instance.get_func(&mut store, "realloc");
        store.data_mut().passage = Some(Passage { memory, realloc });
        let deep = instance.get_typed_func::<(u32, u32), ()>(&mut store, "deep")?;
        let arguments = (depth, u32::from(asks));
        match stack {
            Stack::Fiber => {
                let call = deep.call_async(&mut store, arguments);
                metered(Duration::from_secs(60), pin!(call)).await.0.unwrap()
            }
            Stack::Here => {
                store.data_mut().may_give_way = false;
                metered_here(Instant::now(), || deep.call(&mut store, arguments)).0
            }
        }
    }

    fn linked(engine: &Engine, text: &str) -> InstancePre<State> {
        let module = engine.compile_module(&wat::parse_str(text).unwrap()).unwrap();
        engine.core_linker().unwrap().instantiate_pre(&module).unwrap()
    }

    fn trap(called: wasmtime::Result<()>) -> Trap {
        *called.unwrap_err().downcast_ref::<Trap>().unwrap()
    }

    #[tokio::test]
    async fn who_makes_room_for_ever_is_stopped() {
        let engine = Engine::new(None, Link::Serving).unwrap();
        let text = DEEP.replace("(call $endless (i32.const 0))", "(loop (br 0)) unreachable");
        assert_ne!(text, DEEP);
        let pre = linked(&engine, &text);
        for stack in [Stack::Fiber, Stack::Here] {
            let began = Instant::now();
            let called = deep(&engine, &pre, stack, (0, true), Duration::from_millis(20)).await;
            assert_eq!(trap(called), Trap::Interrupt, "{stack:?}");
            assert!(began.elapsed() >= Duration::from_millis(20), "{stack:?}: {:?}", began.elapsed());
        }
    }

    /// Asks a store for what makes room, where the store is asked again.
    const WAITS: &str = r#"(module
        (import "limen:policy/kv" "get" (func $get (param i32 i32 i32 i32 i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "store")
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (if (i32.load8_u (i32.const 64)) (then (call $get (i32.const 16) (i32.const 5) (i32.const 16) (i32.const 5) (i32.const 1024))))
            (i32.const 4096))
        (func $deep (export "deep") (param $depth i32) (param $again i32)
            (i32.store8 (i32.const 64) (local.get $again))
            (call $get (i32.const 16) (i32.const 5) (i32.const 16) (i32.const 5) (i32.const 1024))
            (if (i32.ne (i32.load8_u (i32.const 4096)) (i32.const 118)) (then unreachable))))"#;

    #[tokio::test]
    async fn who_makes_room_for_what_it_waited_for_does_not_wait_again() {
        let engine = Engine::new(None, Link::Serving).unwrap();
        let pre = linked(&engine, WAITS);
        let time = Duration::from_secs(5);
        deep(&engine, &pre, Stack::Fiber, (0, false), time).await.unwrap();
        let again = deep(&engine, &pre, Stack::Fiber, (0, true), time).await;
        assert_eq!(trap(again), Trap::CannotLeaveComponent);
    }

    #[tokio::test]
    async fn a_guest_that_uses_up_its_stack_traps_also_while_it_makes_room() {
        let engine = Engine::new(None, Link::Serving).unwrap();
        let pre = linked(&engine, DEEP);
        for stack in [Stack::Fiber, Stack::Here] {
            let time = Duration::from_secs(5);
            let call = async |depth, asks| deep(&engine, &pre, stack, (depth, asks), time).await;
            let (mut good, mut bad) = (1, 1 << 20);
            while bad - good > 1 {
                let depth = good + (bad - good) / 2;
                match call(depth, false).await {
                    Ok(()) => good = depth,
                    failed => {
                        assert_eq!(trap(failed), Trap::StackOverflow);
                        bad = depth;
                    }
                }
            }
            assert!(good > 1000, "{stack:?}: {good} calls deep");
            for less in [0, 1, 100] {
                let called = call(good - less, true).await;
                assert_eq!(trap(called), Trap::StackOverflow, "{stack:?}: {less} less than possible");
            }
        }
    }
}
