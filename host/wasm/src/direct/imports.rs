//! The host's functions as a core module calls them: the contract, and what of WASI is given no handles.

use std::mem::MaybeUninit;
use std::pin::Pin;

use limen_policy::{HeaderEdit, Side};
use wasmtime::{AsContext, AsContextMut, Caller, Func, FuncType, Linker, Memory, Trap, Val, ValRaw, ValType};
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::{clocks, random as wasi_random};
use wasmtime_wasi::random::WasiRandomView;

use super::abi::{Lift, Lower, Number, Numbers, Return, Source, Target, out_of_bounds};
use crate::capability::bindings::limen::policy::{
    attempt, bag, cache, chunks, client, client_certificate, config, consumer, consumer_edit, counters,
    crypto, jwt, kv, log, metrics, reply, request, request_body, request_body_edit, request_edit, response,
    response_body, response_body_edit, response_edit, route, secrets, secrets_reveal, timing, trailers,
    trailers_edit, types,
};
use crate::capability::calls::contract;
use crate::state::State;
use types::Level;

type Bytes = Vec<u8>;
type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How values pass between an instance and the host.
#[derive(Clone, Copy)]
pub(crate) struct Passage {
    pub(super) memory: Memory,
    /// The guest's function that makes room for what it is answered: `(old, old size, alignment, size) -> address`,
    /// with nothing old here.
    pub(super) realloc: Option<Func>,
}

/// All that a core module may import, by interface (without its version) and name.
pub(crate) fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<State>> {
    let mut link = Link { linker: Linker::new(engine) };
    // Each expands to statements that use `link`.
    macro_rules! calls {
        ($interface:ident:
         $(fn $name:ident($($argument:ident: $kind:ty),*) $(-> $answer:ty)?;)*
         $(traps $trap:ident($($taken:ident: $as:ty),*) -> $given_back:ty;)*
         $(waits $later:ident($($given:ident: $of:ty),*) $(-> $promised:ty)?;)*) => {
            let interface = contract_name(stringify!($interface));
            $(link.function(&interface, stringify!($name), |state: &mut State, ($($argument,)*): ($($kind,)*)| {
                state.host_calls += 1;
                Ok(<State as $interface::Host>::$name(state $(, $argument)*))
            })?;)*
            $(link.function(&interface, stringify!($trap), |state: &mut State, ($($taken,)*): ($($as,)*)| {
                state.host_calls += 1;
                <State as $interface::Host>::$trap(state $(, $taken)*)
            })?;)*
            $(link.later(&interface, stringify!($later), |state: &mut State, ($($given,)*): ($($of,)*)| {
                state.host_calls += 1;
                Box::pin(<State as $interface::Host>::$later(state $(, $given)*))
            })?;)*
        };
    }
    contract!(calls);
    // They take the places of those of the list.
    link.linker.allow_shadowing(true);
    link.heads()?;
    link.linker.allow_shadowing(false);
    link.wasi()?;
    Ok(link.linker)
}

/// Whether a function that a core module imports may wait, so that whoever calls the module has to.
pub(super) fn may_wait(interface: &str, function: &str) -> bool {
    // Expands to statements, as above.
    macro_rules! waits {
        ($interface:ident:
         $(fn $name:ident($($argument:ident: $kind:ty),*) $(-> $answer:ty)?;)*
         $(traps $trap:ident($($taken:ident: $as:ty),*) -> $given_back:ty;)*
         $(waits $later:ident($($given:ident: $of:ty),*) $(-> $promised:ty)?;)*) => {
            $(if interface == contract_name(stringify!($interface))
                && function == stringify!($later).replace('_', "-") {
                return true;
            })*
        };
    }
    contract!(waits);
    false
}

/// What an interface of the contract is called.
fn contract_name(interface: &str) -> String {
    format!("limen:policy/{}", interface.replace('_', "-"))
}

struct Link {
    linker: Linker<State>,
}

impl Link {
    /// Clocks and random numbers, as components get them from stock WASI.
    fn wasi(&mut self) -> wasmtime::Result<()> {
        use clocks::{monotonic_clock, wall_clock};
        use wasi_random::{insecure, insecure_seed, random};
        let wall = "wasi:clocks/wall-clock";
        self.function(wall, "now", |state, ()| wall_clock::Host::now(&mut state.clocks()))?;
        self.function(wall, "resolution", |state, ()| wall_clock::Host::resolution(&mut state.clocks()))?;
        let monotonic = "wasi:clocks/monotonic-clock";
        self.function(monotonic, "now", |state, ()| monotonic_clock::Host::now(&mut state.clocks()))?;
        self.function(monotonic, "resolution", |state, ()| {
            monotonic_clock::Host::resolution(&mut state.clocks())
        })?;
        self.function("wasi:random/random", "get_random_bytes", |state, (count,): (u64,)| {
            random::Host::get_random_bytes(state.random(), count)
        })?;
        self.function("wasi:random/random", "get_random_u64", |state, ()| {
            random::Host::get_random_u64(state.random())
        })?;
        let seed = "wasi:random/insecure-seed";
        self.function(seed, "insecure_seed", |state, ()| insecure_seed::Host::insecure_seed(state.random()))?;
        let careless = "wasi:random/insecure";
        self.function(careless, "get_insecure_random_bytes", |state, (count,): (u64,)| {
            insecure::Host::get_insecure_random_bytes(state.random(), count)
        })?;
        self.function(careless, "get_insecure_random_u64", |state, ()| {
            insecure::Host::get_insecure_random_u64(state.random())
        })
    }

    /// What nearly every policy calls, with texts that are read where they lie.
    fn heads(&mut self) -> wasmtime::Result<()> {
        use HeaderEdit::{Add, Remove, Set};
        for (side, head) in
            [(Side::Request, "limen:policy/request"), (Side::Response, "limen:policy/response")]
        {
            self.texts(head, "header", move |state, [name]| state.header(side, name))?;
            self.texts(head, "has-header", move |state, [name]| state.has_header(side, name))?;
            let edits = format!("{head}-edit");
            self.texts(&edits, "set-header", move |state, [name, value]| {
                state.edit_header(side, Set(name, value))
            })?;
            self.texts(&edits, "add-header", move |state, [name, value]| {
                state.edit_header(side, Add(name, value))
            })?;
            self.texts(&edits, "remove-header", move |state, [name]| state.edit_header(side, Remove(name)))?;
        }
        self.texts("limen:policy/request", "header-equals", |state, [name, value]| {
            state.header_equals(Side::Request, name, value)
        })
    }

    /// One that is given so many texts.
    fn texts<const N: usize, R: Lower>(
        &mut self,
        interface: &str,
        name: &str,
        call: impl Fn(&mut State, [&str; N]) -> R + Send + Sync + 'static,
    ) -> wasmtime::Result<()> {
        let numbers = [Number::I32; 2].repeat(N);
        self.answering(interface, name, numbers, move |caller, passage, arguments| {
            let (memory, state) = passage.memory.data_and_store_mut(caller.as_context_mut());
            let mut source = Source { memory, left: state.limits.host_call_bytes };
            let mut numbers = Numbers(arguments.iter());
            let mut texts = [""; N];
            for text in &mut texts {
                *text = source.text(numbers.word()?, numbers.word()?)?;
            }
            let at = place::<R>(&mut numbers, memory)?;
            state.host_calls += 1;
            Ok((call(state, texts), at))
        })
    }

    /// One that answers at once.
    fn function<A: Lift, R: Lower>(
        &mut self,
        interface: &str,
        name: &str,
        call: impl Fn(&mut State, A) -> wasmtime::Result<R> + Send + Sync + 'static,
    ) -> wasmtime::Result<()> {
        let mut numbers = Vec::new();
        A::numbers(&mut numbers);
        self.answering(interface, name, numbers, move |caller, passage, arguments| {
            let (arguments, at) = lift::<A, R>(caller, passage, arguments)?;
            Ok((call(caller.data_mut(), arguments)?, at))
        })
    }

    /// One that is given numbers, and says where its answer goes.
    #[allow(
        unsafe_code,
        reason = "wasmtime's typed functions need a type with each number of the arguments spelt out; every function is tried below \
                  with all kinds of arguments"
    )]
    fn answering<R: Lower>(
        &mut self,
        interface: &str,
        name: &str,
        numbers: Vec<Number>,
        call: impl Fn(&mut Caller<'_, State>, Passage, &[ValRaw]) -> wasmtime::Result<(R, usize)>
        + Send
        + Sync
        + 'static,
    ) -> wasmtime::Result<()> {
        let ty = core_type::<R>(self.linker.engine(), numbers);
        let count = ty.params().len();
        let answer = move |mut caller: Caller<'_, State>, raw: &mut [MaybeUninit<ValRaw>]| {
            let Some(arguments) = raw.get(..count) else { return Err(out_of_bounds()) };
            // SAFETY: wasmtime hands over the arguments of a function of this type, all of them, and then room
            // for its result.
            let arguments = unsafe { arguments.assume_init_ref() };
            let passage = passage(&caller)?;
            let (result, at) = call(&mut caller, passage, arguments)?;
            match R::RETURN {
                Return::Nothing => {}
                Return::Number(number) => {
                    if let Some(first) = raw.first_mut() {
                        first.write(number.raw(result.bits()));
                    }
                }
                Return::Stored => result.store(at, &mut Calling { caller: &mut caller, passage })?,
            }
            Ok(())
        };
        // SAFETY: what is read are the parameters of this type, and what is written is its result.
        unsafe {
            self.linker.func_new_unchecked(interface, &name.replace('_', "-"), ty, answer)?;
        }
        Ok(())
    }

    /// One that may wait.
    fn later<A: Lift + Send + 'static, R: Lower + Send + 'static>(
        &mut self,
        interface: &str,
        name: &str,
        call: for<'a> fn(&'a mut State, A) -> Later<'a, R>,
    ) -> wasmtime::Result<()> {
        let mut numbers = Vec::new();
        A::numbers(&mut numbers);
        let ty = core_type::<R>(self.linker.engine(), numbers);
        self.linker.func_new_async(
            interface,
            &name.replace('_', "-"),
            ty,
            move |mut caller, values, results| {
                Box::new(async move {
                    let passage = passage(&caller)?;
                    let arguments: Vec<_> = values.iter().map(raw).collect::<wasmtime::Result<_>>()?;
                    let (arguments, at) = lift::<A, R>(&mut caller, passage, &arguments)?;
                    let result = call(caller.data_mut(), arguments).await;
                    match (R::RETURN, results.first_mut()) {
                        (Return::Number(number), Some(first)) => *first = number.value(result.bits()),
                        (Return::Stored, _) => {
                            let mut sizes = Sizes::default();
                            result.store(at, &mut sizes)?;
                            let mut rooms = Vec::with_capacity(sizes.0.len());
                            for (size, align) in sizes.0 {
                                rooms.push(make_room(&mut caller, passage, size, align).await?);
                            }
                            let memory = passage.memory.data_mut(&mut caller);
                            result.store(at, &mut Made { memory, rooms: rooms.into_iter() })?;
                        }
                        _ => {}
                    }
                    Ok(())
                })
            },
        )?;
        Ok(())
    }
}

/// The type of a function that is given these numbers, as a core module sees it.
fn core_type<R: Lower>(engine: &wasmtime::Engine, mut numbers: Vec<Number>) -> FuncType {
    let results: Option<ValType> = match R::RETURN {
        Return::Nothing => None,
        Return::Number(number) => Some(number.ty()),
        Return::Stored => {
            numbers.push(Number::I32);
            None
        }
    };
    FuncType::new(engine, numbers.into_iter().map(Number::ty), results)
}

fn passage(caller: &Caller<'_, State>) -> wasmtime::Result<Passage> {
    let state = caller.data();
    if state.makes_room {
        return Err(Trap::CannotLeaveComponent.into());
    }
    state.passage.ok_or_else(|| wasmtime::format_err!("it calls the host before it has started"))
}

/// The arguments, and where the answer goes.
fn lift<A: Lift, R: Lower>(
    caller: &mut Caller<'_, State>,
    passage: Passage,
    arguments: &[ValRaw],
) -> wasmtime::Result<(A, usize)> {
    let (memory, state) = passage.memory.data_and_store_mut(caller.as_context_mut());
    let mut source = Source { memory, left: state.limits.host_call_bytes };
    let mut numbers = Numbers(arguments.iter());
    let lifted = A::lift(&mut numbers, &mut source)?;
    let at = place::<R>(&mut numbers, memory)?;
    Ok((lifted, at))
}

/// Where the answer goes, if it goes into the memory.
fn place<R: Lower>(numbers: &mut Numbers<'_>, memory: &[u8]) -> wasmtime::Result<usize> {
    match R::RETURN {
        Return::Stored => numbers.place(memory, R::SIZE, R::ALIGN),
        Return::Nothing | Return::Number(_) => Ok(0),
    }
}

/// The address of new room that a guest has made, if it is one.
fn checked(at: u32, size: usize, align: usize, memory: usize) -> wasmtime::Result<usize> {
    let at = at as usize;
    match at.checked_add(size) {
        Some(end) if end <= memory && at.is_multiple_of(align) => Ok(at),
        _ => Err(wasmtime::format_err!("its realloc gives room beyond the memory or not aligned")),
    }
}

fn too_large(_: std::num::TryFromIntError) -> wasmtime::Error {
    wasmtime::format_err!("an answer of more than 4 GiB")
}

#[cold]
fn no_realloc() -> wasmtime::Error {
    wasmtime::format_err!("it has no function that makes room for what it asks for")
}

/// A guest that is asked for room in the middle of its call.
struct Calling<'a, 'b> {
    caller: &'a mut Caller<'b, State>,
    passage: Passage,
}

impl Target for Calling<'_, '_> {
    #[allow(
        unsafe_code,
        reason = "wasmtime's safe calls can't be made from within a host function that does not wait; tests below, \
                  and in mod.rs with a guest that uses up its stack"
    )]
    fn room(&mut self, size: usize, align: usize) -> wasmtime::Result<usize> {
        let realloc = self.passage.realloc.ok_or_else(no_realloc)?;
        let size32 = u32::try_from(size).map_err(too_large)?;
        let mut raw = [ValRaw::u32(0), ValRaw::u32(0), ValRaw::u32(align as u32), ValRaw::u32(size32)];
        self.caller.data_mut().makes_room = true;
        // SAFETY: the function is of this store and takes four `i32` and gives one: both were looked at when the
        // instance was made. It may be called within a `call_async`, which wasmtime's docs warn of, as its components
        // call theirs: on the same fiber, which may suspend here as in the guest itself. It does not come back to the
        // host (`passage`), so that it is one level and no more, and the fiber has room for the depth that wasmtime
        // allows each of the two (`async_stack_size`). Within a `call` both have one depth together.
        unsafe { realloc.call_unchecked(&mut *self.caller, &mut raw)? };
        self.caller.data_mut().makes_room = false;
        let [at, ..] = raw;
        checked(at.get_u32(), size, align, self.passage.memory.data_size(&*self.caller))
    }

    fn memory(&mut self) -> &mut [u8] {
        self.passage.memory.data_mut(&mut *self.caller)
    }
}

/// The same for a host function that waits: wasmtime polls it with what a fiber suspends by in its hands, so that the
/// guest needs a fiber of its own.
async fn make_room(
    caller: &mut Caller<'_, State>,
    passage: Passage,
    size: usize,
    align: usize,
) -> wasmtime::Result<usize> {
    let realloc = passage.realloc.ok_or_else(no_realloc)?;
    let realloc = realloc.typed::<(u32, u32, u32, u32), u32>(caller.as_context())?;
    let size32 = u32::try_from(size).map_err(too_large)?;
    caller.data_mut().makes_room = true;
    let at = realloc.call_async(&mut *caller, (0, 0, align as u32, size32)).await?;
    caller.data_mut().makes_room = false;
    checked(at, size, align, passage.memory.data_size(&*caller))
}

/// The rooms that an answer wants, in the order in which it asks for them.
#[derive(Default)]
struct Sizes(Vec<(usize, usize)>);

impl Target for Sizes {
    fn room(&mut self, size: usize, align: usize) -> wasmtime::Result<usize> {
        self.0.push((size, align));
        Ok(0)
    }

    fn memory(&mut self) -> &mut [u8] {
        &mut []
    }

    fn put(&mut self, _: usize, _: &[u8]) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// A memory, and the rooms that were made in it.
struct Made<'a> {
    memory: &'a mut [u8],
    rooms: std::vec::IntoIter<usize>,
}

impl Target for Made<'_> {
    fn room(&mut self, _: usize, _: usize) -> wasmtime::Result<usize> {
        self.rooms.next().ok_or_else(no_realloc)
    }

    fn memory(&mut self) -> &mut [u8] {
        self.memory
    }
}

fn raw(value: &Val) -> wasmtime::Result<ValRaw> {
    Ok(match value {
        Val::I32(it) => ValRaw::i32(*it),
        Val::I64(it) => ValRaw::i64(*it),
        Val::F64(it) => ValRaw::f64(*it),
        _ => return Err(out_of_bounds()),
    })
}

impl Lower for Datetime {
    const SIZE: usize = 16;
    const ALIGN: usize = 8;

    fn store(&self, at: usize, to: &mut impl Target) -> wasmtime::Result<()> {
        self.seconds.store(at, to)?;
        self.nanoseconds.store(at + 8, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolate::OUT_OF_FUEL;
    use crate::plugin::loading_limits;
    use crate::state::Grounds;
    use wasmtime::{Engine, MemoryType, Store};

    /// Where the tests' guest makes room, and where it wants its answers.
    const ROOM: u32 = 4096;
    const PLACE: i32 = 1024;

    /// A store whose guest is a memory of one page, and a realloc that gives this.
    fn store(room: u32) -> (Store<State>, Linker<State>, Memory) {
        let engine = Engine::default();
        let linker = linker(&engine).unwrap();
        let mut store = Store::new(&engine, State::new(Grounds::blank(), &loading_limits()));
        let memory = Memory::new(&mut store, MemoryType::new(1, None)).unwrap();
        let realloc = Func::wrap(&mut store, move |_: u32, _: u32, _: u32, _: u32| room);
        store.data_mut().passage = Some(Passage { memory, realloc: Some(realloc) });
        (store, linker, memory)
    }

    /// Calls a function of the contract: why it fails, if it does.
    fn call(guest: &mut (Store<State>, Linker<State>, Memory), name: (&str, &str), given: &[i32]) -> String {
        let (store, linker, _) = guest;
        let function = linker.get(&mut *store, &format!("limen:policy/{}", name.0), name.1).unwrap();
        let given: Vec<_> = given.iter().copied().map(Val::I32).collect();
        let called = function.into_func().unwrap().call(store, &given, &mut []);
        called.err().map(|error| error.root_cause().to_string()).unwrap_or_default()
    }

    #[test]
    fn a_text_goes_there_and_back() {
        let mut guest = store(ROOM);
        guest.0.data_mut().exchange.request.headers_mut().insert("x-name", "Limen".parse().unwrap());
        let memory = guest.2;
        memory.write(&mut guest.0, 16, b"x-name").unwrap();
        assert_eq!(call(&mut guest, ("request", "header"), &[16, 6, PLACE]), "");
        let data = memory.data(&guest.0);
        assert_eq!(data[1024..1036], [1, 0, 0, 0, 0, 16, 0, 0, 5, 0, 0, 0]);
        assert_eq!(&data[4096..4101], b"Limen");
        assert_eq!(call(&mut guest, ("request", "header"), &[16, 5, PLACE]), "");
        assert_eq!(memory.data(&guest.0)[1024], 0, "there is no x-nam");
        assert_eq!(guest.0.data().host_calls, 2);
    }

    #[test]
    fn what_is_not_in_memory_is_neither_read_nor_written() {
        let mut guest = store(ROOM);
        guest.0.data_mut().exchange.request.headers_mut().insert("x", "1".parse().unwrap());
        let memory = guest.2;
        memory.write(&mut guest.0, 16, b"x\xff").unwrap();
        let header = ("request", "header");
        let beyond = "an address beyond the end of the memory";
        for given in [[65_536, 1, PLACE], [65_535, 2, PLACE], [-1, 1, PLACE], [16, -1, PLACE]] {
            let said = call(&mut guest, header, &given);
            assert_eq!(said, beyond, "{given:?}");
        }
        for place in [65_528, 65_525, -4, 1026] {
            assert_eq!(call(&mut guest, header, &[16, 1, place]), beyond, "{place}");
        }
        assert_eq!(call(&mut guest, header, &[16, 2, PLACE]), "a text that is not UTF-8");
        assert_eq!(call(&mut guest, ("log", "write"), &[9, 16, 1]), "a level that there is not");
        assert_eq!(call(&mut guest, ("metrics", "add"), &[]), "expected 5 arguments, got 0");
        guest.0.data_mut().limits.host_call_bytes = 1;
        assert_eq!(call(&mut guest, header, &[16, 1, PLACE]), "");
        assert_eq!(call(&mut guest, header, &[16, 2, PLACE]), OUT_OF_FUEL);
    }

    #[test]
    fn room_that_is_none_is_not_used() {
        let names = ("request", "header-values");
        for (room, is_good) in
            [(ROOM, true), (65_536, false), (65_533, false), (u32::MAX, false), (4098, false)]
        {
            let mut guest = store(room);
            guest.0.data_mut().exchange.request.headers_mut().insert("x", "1".parse().unwrap());
            let memory = guest.2;
            memory.write(&mut guest.0, 16, b"x").unwrap();
            let said = call(&mut guest, names, &[16, 1, PLACE]);
            assert_eq!(said.is_empty(), is_good, "{room}: {said}");
            guest.0.data_mut().passage = Some(Passage { memory, realloc: None });
            assert!(call(&mut guest, names, &[16, 1, PLACE]).contains("makes room"));
        }
    }

    #[test]
    fn who_makes_room_does_not_ask_for_any() {
        let mut guest = store(ROOM);
        let text = r#"(module
            (import "limen:policy/request" "path" (func $path (param i32)))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (call $path (i32.const 1024)) (i32.const 64)))"#;
        let module = wasmtime::Module::new(guest.0.engine(), wat::parse_str(text).unwrap()).unwrap();
        let instance = guest.1.instantiate(&mut guest.0, &module).unwrap();
        let realloc = instance.get_func(&mut guest.0, "realloc");
        guest.0.data_mut().passage = Some(Passage { memory: guest.2, realloc });
        assert_eq!(call(&mut guest, ("request", "path"), &[PLACE]), Trap::CannotLeaveComponent.to_string());
        assert_eq!(guest.0.data().host_calls, 1);
    }

    /// Every function with whatever comes: it answers or fails.
    #[tokio::test]
    async fn no_argument_is_too_wild() {
        let (mut store, linker, memory) = store(ROOM);
        let mut seed = 7_u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        let all: Vec<_> = linker.iter(&mut store).map(|(_, name, it)| (name.to_owned(), it)).collect();
        let all: Vec<_> = all.into_iter().filter_map(|(name, it)| Some((name, it.into_func()?))).collect();
        assert!(all.len() > 100, "{}", all.len());
        let (mut good, mut bad) = (0, 0);
        for round in 0..200 {
            let noise: Vec<u8> = (0..64).map(|_| random() as u8).collect();
            memory.write(&mut store, (random() % 60_000) as usize, &noise).unwrap();
            store.data_mut().arm(std::time::Duration::from_secs(1));
            for (name, function) in &all {
                let ty = function.ty(&store);
                let mut wild = |ty: ValType| {
                    let bits = match random() % 4 {
                        0 => random() % 4,
                        1 => random() % 65_536,
                        _ => (random() % 16_000) * 4,
                    };
                    match ty {
                        ValType::I32 => Val::I32((bits as u32).cast_signed()),
                        ValType::I64 => Val::I64(bits.cast_signed()),
                        _ => Val::F64(bits),
                    }
                };
                let given: Vec<_> = ty.params().map(&mut wild).collect();
                let mut answers: Vec<_> = ty.results().map(&mut wild).collect();
                match function.call_async(&mut store, &given, &mut answers).await {
                    Ok(()) => good += 1,
                    Err(error) => {
                        let said = error.root_cause().to_string();
                        assert!(!said.is_empty(), "{round}: {name}{given:?}");
                        bad += 1;
                    }
                }
            }
        }
        assert!(good > 1000 && bad > 1000, "{good} answered, {bad} failed");
    }
}
