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

calls! { log::Host:
    fn enabled(level: Level) -> bool;
    fn write(level: Level, message: String);
    fn fail(message: String);
}
calls! { config::Host:
    fn json() -> String;
    fn text(pointer: String) -> Option<String>;
    fn integer(pointer: String) -> Option<i64>;
    fn number(pointer: String) -> Option<f64>;
    fn boolean(pointer: String) -> Option<bool>;
}
calls! { request::Host:
    fn method() -> HttpMethod;
    fn method_text() -> String;
    fn version() -> HttpVersion;
    fn authority() -> String;
    fn path() -> String;
    fn query() -> Option<String>;
    fn query_param(name: String) -> Option<String>;
    fn path_param(name: String) -> Option<String>;
    fn cookie(name: String) -> Option<String>;
    fn header(name: String) -> Option<String>;
    fn header_bytes(name: String) -> Option<Bytes>;
    fn header_values(name: String) -> Vec<Bytes>;
    fn has_header(name: String) -> bool;
    fn header_equals(name: String, value: String) -> bool;
    fn header_many(names: Vec<String>) -> Trapping<Vec<Option<String>>>;
    fn packed() -> Bytes;
    fn content_length() -> Option<u64>;
}
calls! { request_edit::Host:
    fn set_header(name: String, value: String) -> Edited;
    fn add_header(name: String, value: String) -> Edited;
    fn remove_header(name: String) -> Edited;
    fn set_method(name: String) -> Edited;
    fn set_path(path: String) -> Edited;
    fn set_query(query: Option<String>) -> Edited;
    fn set_authority(authority: String) -> Edited;
}
calls! { request_body::Host:
    fn size() -> u64;
    fn read(offset: u64, max: u32) -> Bytes;
}
calls! { request_body_edit::Host: fn replace(body: Bytes) -> Edited; }
calls! { response::Host:
    fn status() -> u16;
    fn header(name: String) -> Option<String>;
    fn header_bytes(name: String) -> Option<Bytes>;
    fn header_values(name: String) -> Vec<Bytes>;
    fn has_header(name: String) -> bool;
    fn packed() -> Bytes;
    fn content_length() -> Option<u64>;
    fn is_local() -> bool;
}
calls! { response_edit::Host:
    fn set_status(status: u16) -> Edited;
    fn set_header(name: String, value: String) -> Edited;
    fn add_header(name: String, value: String) -> Edited;
    fn remove_header(name: String) -> Edited;
}
calls! { response_body::Host:
    fn size() -> u64;
    fn read(offset: u64, max: u32) -> Bytes;
}
calls! { response_body_edit::Host: fn replace(body: Bytes) -> Edited; }
calls! { chunks::Host: fn emit(data: Bytes) -> Edited; }
calls! { trailers::Host:
    fn get(name: String) -> Option<String>;
    fn get_bytes(name: String) -> Option<Bytes>;
    fn values(name: String) -> Vec<Bytes>;
    fn has(name: String) -> bool;
    fn packed() -> Bytes;
}
calls! { trailers_edit::Host:
    fn set(name: String, value: String) -> Edited;
    fn add(name: String, value: String) -> Edited;
    fn remove(name: String) -> Edited;
}
calls! { attempt::Host:
    fn number() -> u32;
    fn endpoint() -> Option<String>;
}
calls! { reply::Host:
    fn start(status: u16) -> Edited;
    fn header(name: String, value: String) -> Edited;
    fn body(data: Bytes) -> Edited;
}
calls! { client::Host:
    fn ip() -> (u64, u64);
    fn ip_text() -> String;
    fn port() -> u16;
    fn is_tls() -> bool;
    fn tls_version() -> Option<String>;
    fn sni() -> Option<String>;
}
calls! { client_certificate::Host:
    fn subject() -> Option<String>;
    fn issuer() -> Option<String>;
    fn serial() -> Option<String>;
    fn fingerprint() -> Option<String>;
    fn dns_names() -> Vec<String>;
    fn uris() -> Vec<String>;
    fn emails() -> Vec<String>;
    fn addresses() -> Vec<String>;
}
calls! { route::Host:
    fn name() -> String;
    fn upstream() -> Option<String>;
    fn request_id() -> String;
}
calls! { bag::Host:
    fn get(key: String) -> Option<String>;
    fn get_bytes(key: String) -> Option<Bytes>;
    fn put(key: String, value: String) -> bool;
    fn put_bytes(key: String, value: Bytes) -> bool;
}
calls! { consumer::Host:
    fn id() -> Option<String>;
    fn attribute(name: String) -> Option<String>;
}
calls! { consumer_edit::Host:
    fn set(id: String) -> Edited;
    fn set_attribute(name: String, value: String) -> Edited;
}
calls! { counters::Host:
    fn incr(key: String, delta: i64, ttl_ms: u64) -> i64;
    fn get(key: String) -> Option<i64>;
    fn take(key: String, cost: u64, limit: u64, period_ms: u64, burst: u64) -> counters::TakeResult;
    fn charge(key: String, cost: u64, limit: u64, period_ms: u64, burst: u64);
}
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
calls! { kv::Host:
    async fn get(store: String, key: String) -> Result<Option<Bytes>, kv::KvError>;
    async fn set(store: String, key: String, value: Bytes, ttl_ms: Option<u64>) -> Result<(), kv::KvError>;
    async fn remove(store: String, key: String) -> Result<(), kv::KvError>;
    async fn incr(store: String, key: String, delta: i64, ttl_ms: Option<u64>) -> Result<i64, kv::KvError>;
    async fn swap(store: String, key: String, expected: Option<Bytes>, value: Bytes, ttl_ms: Option<u64>)
        -> Result<bool, kv::KvError>;
}
calls! { cache::Host:
    fn get(key: String) -> Option<Bytes>;
    fn put(key: String, value: Bytes, ttl_ms: u64) -> bool;
    fn add(key: String, value: Bytes, ttl_ms: u64) -> bool;
    fn remove(key: String);
}
calls! { secrets::Host:
    fn hmac_sha256(name: String, data: Bytes) -> Result<Bytes, secrets::SecretError>;
    fn hmac_sha256_verify(name: String, data: Bytes, tag: Bytes) -> Result<bool, secrets::SecretError>;
}
calls! { secrets_reveal::Host: fn reveal(name: String) -> Result<String, secrets::SecretError>; }
calls! { crypto::Host:
    fn sha256(data: Bytes) -> Bytes;
    fn sha512(data: Bytes) -> Bytes;
    fn hmac_sha256(key: Bytes, data: Bytes) -> Bytes;
    fn hmac_sha512(key: Bytes, data: Bytes) -> Bytes;
    fn equal(a: Bytes, b: Bytes) -> bool;
}
calls! { jwt::Host: async fn verify(key_set: String, token: String) -> Result<String, jwt::JwtError>; }
calls! { metrics::Host:
    fn add(name: String, delta: u64, labels: Vec<(String, String)>);
    fn observe(name: String, value: f64, labels: Vec<(String, String)>);
}
calls! { timing::Host:
    fn since_received_us() -> u64;
    fn upstream_us() -> Option<u64>;
    fn connect_us() -> Option<u64>;
    fn attempts() -> u32;
    fn endpoint() -> Option<String>;
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
