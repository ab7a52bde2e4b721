//! How much crosses between a guest and the host: each call of the contract once more, with a look at what it is
//! given and what it answers.
//!
//! For measuring: a registry links components with it where somebody asks for it, and otherwise it is not there. What
//! is counted is what is copied from one memory to the other: the bytes of texts and lists. Numbers, flags and handles
//! go through registers and count for nothing.

use std::cell::Cell;

use wasmtime::component::{HasData, Linker, Resource};

use super::bindings::Imports;
use super::bindings::limen::policy::{
    attempt, bag, cache, chunks, client, client_certificate, config, consumer, consumer_edit, counters,
    crypto, fetch, jwt, kv, log, metrics, reply, request, request_body, request_body_edit, request_edit,
    response, response_body, response_body_edit, response_edit, route, secrets, secrets_reveal, timing,
    trailers, trailers_edit, types,
};
use super::calls::contract;
use super::fetch::{Incoming, Outgoing};
use crate::state::State;
use types::{EditError, HttpMethod, HttpVersion, Level};

/// What has crossed, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crossed {
    pub to_guest: u64,
    pub from_guest: u64,
}

thread_local! {
    static CROSSED: Cell<Crossed> = Cell::default();
}

impl Crossed {
    /// What has crossed on this thread since this was last asked.
    pub fn take() -> Self {
        CROSSED.take()
    }

    fn note(to_guest: usize, from_guest: usize) {
        let mut crossed = CROSSED.get();
        crossed.to_guest += to_guest as u64;
        crossed.from_guest += from_guest as u64;
        CROSSED.set(crossed);
    }
}

/// Puts the counting side of each interface into a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    Imports::add_to_linker::<_, Counting>(linker, |state: &mut State| {
        state.host_calls += 1;
        Counted(state)
    })
}

struct Counting;

impl HasData for Counting {
    type Data<'a> = Counted<'a>;
}

/// A state, and who looks at what it is asked.
struct Counted<'a>(&'a mut State);

impl types::Host for Counted<'_> {}

/// Counts an answer.
fn answered<T: Crosses>(answer: T) -> T {
    Crossed::note(answer.bytes(), 0);
    answer
}

/// Calls of an interface: those that answer at once, then those that may wait.
macro_rules! calls {
    ($interface:ident:
     $(fn $name:ident($($argument:ident: $kind:ty),*) $(-> $answer:ty)?;)*
     $(traps $trap:ident($($taken:ident: $as:ty),*) -> $given_back:ty;)*
     $(waits $later:ident($($given:ident: $of:ty),*) $(-> $promised:ty)?;)*) => {
        calls! { $interface::Host:
            $(fn $name($($argument: $kind),*) $(-> $answer)?;)*
            $(fn $trap($($taken: $as),*) -> Trapping<$given_back>;)*
            $(async fn $later($($given: $of),*) $(-> $promised)?;)*
        }
    };
    ($interface:path:
     $(fn $name:ident($($argument:ident: $kind:ty),*) $(-> $answer:ty)?;)*
     $(async fn $later:ident($($given:ident: $of:ty),*) $(-> $promised:ty)?;)*) => {
        impl $interface for Counted<'_> {
            $(fn $name(&mut self $(, $argument: $kind)*) $(-> $answer)? {
                Crossed::note(0, 0 $(+ $argument.bytes())*);
                answered(<State as $interface>::$name(self.0 $(, $argument)*))
            })*
            $(async fn $later(&mut self $(, $given: $of)*) $(-> $promised)? {
                Crossed::note(0, 0 $(+ $given.bytes())*);
                answered(<State as $interface>::$later(self.0 $(, $given)*).await)
            })*
        }
    };
}

type Bytes = Vec<u8>;
type Edited = Result<(), EditError>;
type Trapping<T> = wasmtime::Result<T>;
type Fetched<T> = Trapping<Result<T, fetch::FetchError>>;

contract!(calls);

calls! { fetch::HostOutgoing:
    fn new(upstream: String, method: String, path: String) -> Trapping<Resource<Outgoing>>;
    fn header(call: Resource<Outgoing>, name: String, value: String) -> Trapping<Edited>;
    fn body(call: Resource<Outgoing>, data: Bytes) -> Trapping<Edited>;
    fn timeout_ms(call: Resource<Outgoing>, value: u32) -> Trapping<()>;
    fn drop(call: Resource<Outgoing>) -> Trapping<()>;
    async fn send(call: Resource<Outgoing>) -> Fetched<Resource<Incoming>>;
}
calls! { fetch::HostIncoming:
    fn status(answer: Resource<Incoming>) -> Trapping<u16>;
    fn header(answer: Resource<Incoming>, name: String) -> Trapping<Option<String>>;
    fn header_values(answer: Resource<Incoming>, name: String) -> Trapping<Vec<Bytes>>;
    fn packed(answer: Resource<Incoming>) -> Trapping<Bytes>;
    fn drop(answer: Resource<Incoming>) -> Trapping<()>;
    async fn read(answer: Resource<Incoming>, max: u32) -> Fetched<Bytes>;
    async fn body(answer: Resource<Incoming>) -> Fetched<Bytes>;
}
calls! { fetch::Host:
    async fn send_all(calls: Vec<Resource<Outgoing>>)
        -> Trapping<Vec<Result<Resource<Incoming>, fetch::FetchError>>>;
}

/// Something that crosses.
trait Crosses {
    /// How much of it is copied.
    fn bytes(&self) -> usize;
}

macro_rules! in_registers {
    ($($kind:ty),* $(,)?) => { $(impl Crosses for $kind { fn bytes(&self) -> usize { 0 } })* };
}

in_registers!(
    (),
    bool,
    u16,
    u32,
    u64,
    i64,
    f64,
    (u64, u64),
    Level,
    HttpMethod,
    HttpVersion,
    EditError,
    counters::TakeResult,
    fetch::FetchError,
    kv::KvError,
    jwt::JwtError,
    secrets::SecretError,
    wasmtime::Error,
);

impl<T> Crosses for Resource<T> {
    fn bytes(&self) -> usize {
        0
    }
}

impl Crosses for u8 {
    fn bytes(&self) -> usize {
        1
    }
}

impl Crosses for String {
    fn bytes(&self) -> usize {
        self.len()
    }
}

impl<T: Crosses> Crosses for Vec<T> {
    fn bytes(&self) -> usize {
        self.iter().map(Crosses::bytes).sum()
    }
}

impl<T: Crosses> Crosses for Option<T> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, Crosses::bytes)
    }
}

impl<T: Crosses, E: Crosses> Crosses for Result<T, E> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or_else(Crosses::bytes, Crosses::bytes)
    }
}

impl Crosses for (String, String) {
    fn bytes(&self) -> usize {
        self.0.len() + self.1.len()
    }
}
