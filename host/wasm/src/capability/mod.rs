//! What a policy may import: one file per interface of the contract, each the host's side of it.
//!
//! A new one: its `.wit` file in `wit/`; then `bindgen!` fails until its file is here, and its calls in `calls`.

pub(crate) mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "imports",
        imports: {
            "limen:policy/request.header-many": trappable,
            // What may wait; and what looks into a table of handles.
            "limen:policy/fetch.[constructor]outgoing": trappable,
            "limen:policy/fetch.[method]outgoing.header": trappable,
            "limen:policy/fetch.[method]outgoing.body": trappable,
            "limen:policy/fetch.[method]outgoing.timeout-ms": trappable,
            "limen:policy/fetch.[method]outgoing.send": async | trappable,
            "limen:policy/fetch.[method]incoming.status": trappable,
            "limen:policy/fetch.[method]incoming.header": trappable,
            "limen:policy/fetch.[method]incoming.header-values": trappable,
            "limen:policy/fetch.[method]incoming.packed": trappable,
            "limen:policy/fetch.[method]incoming.read": async | trappable,
            "limen:policy/fetch.[method]incoming.body": async | trappable,
            "limen:policy/fetch.send-all": async | trappable,
            "limen:policy/jwt.verify": async,
            "limen:policy/kv.get": async,
            "limen:policy/kv.set": async,
            "limen:policy/kv.remove": async,
            "limen:policy/kv.incr": async,
            "limen:policy/kv.swap": async,
        },
        with: {
            "limen:policy/fetch.outgoing": super::fetch::Outgoing,
            "limen:policy/fetch.incoming": super::fetch::Incoming,
        },
    });
}

mod attempt;
mod bag;
pub(crate) mod cache;
pub(crate) mod calls;
mod chunks;
mod client;
mod client_certificate;
mod config;
mod consumer;
pub(crate) mod counted;
pub(crate) mod counters;
mod crypto;
pub(crate) mod fetch;
pub(crate) mod grants;
pub(crate) mod heads;
mod jwt;
pub(crate) mod kv;
pub(crate) mod log;
mod metrics;
mod reply;
mod request;
mod response;
mod route;
pub(crate) mod secrets;
mod timing;
mod trailers;

use bindings::limen::policy::types;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use limen_policy::EditError;
use wasmtime::component::{HasSelf, Linker};

use crate::state::State;

/// What guests are linked with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// The contract, as it serves.
    Serving,
    /// The same with a look at what crosses.
    Counting,
}

impl Link {
    /// Puts the contract into a linker of components.
    pub(crate) fn fill(self, linker: &mut Linker<State>) -> wasmtime::Result<()> {
        match self {
            Link::Serving => {
                bindings::Imports::add_to_linker::<_, HasSelf<State>>(linker, |state: &mut State| {
                    state.host_calls += 1;
                    state
                })
            }
            Link::Counting => counted::add_to_linker(linker),
        }
    }
}

impl types::Host for State {}

impl From<EditError> for types::EditError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Invalid => types::EditError::Invalid,
            EditError::Forbidden => types::EditError::Forbidden,
            EditError::TooLarge => types::EditError::TooLarge,
            EditError::TooLate => types::EditError::TooLate,
        }
    }
}

fn edited(result: Result<(), EditError>) -> Result<(), types::EditError> {
    result.map_err(Into::into)
}

fn first_text(headers: &HeaderMap, name: &str) -> Option<String> {
    utf8(headers.get(name)?).map(str::to_owned)
}

fn first_bytes(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    headers.get(name).map(|value| value.as_bytes().to_vec())
}

fn all_values(headers: &HeaderMap, name: &str) -> Vec<Vec<u8>> {
    headers.get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
}

fn utf8(value: &HeaderValue) -> Option<&str> {
    std::str::from_utf8(value.as_bytes()).ok()
}

/// At most `max` bytes of a buffered body from `offset`.
fn read(body: Option<&Bytes>, offset: u64, max: u32) -> Vec<u8> {
    let body = body.map_or(&[][..], |body| body);
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(body.len());
    let end = start.saturating_add(max as usize).min(body.len());
    body.get(start..end).unwrap_or_default().to_vec()
}

/// A head in the layout that `request.packed` documents.
fn pack(pseudo: &[(&str, &[u8])], headers: &HeaderMap) -> Vec<u8> {
    let fields = || {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        pseudo.iter().copied().chain(headers)
    };
    let count = pseudo.len() + headers.len();
    let text: usize = fields().map(|(name, value)| name.len() + value.len()).sum();
    let mut packed = Vec::with_capacity(4 + count * 8 + text);
    let number = |packed: &mut Vec<u8>, n: usize| packed.extend_from_slice(&(n as u32).to_le_bytes());
    number(&mut packed, count);
    for (name, value) in fields() {
        number(&mut packed, name.len());
        number(&mut packed, value.len());
    }
    for (name, value) in fields() {
        packed.extend_from_slice(name.as_bytes());
        packed.extend_from_slice(value);
    }
    packed
}
