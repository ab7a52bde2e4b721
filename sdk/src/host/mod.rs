//! The one seam between this crate and whatever answers it: the gateway in a component, a mock of it
//! in tests. Both sides offer the same functions, named as in `wit/`.

#[cfg(not(target_family = "wasm"))]
pub(crate) mod mock;
#[cfg(target_family = "wasm")]
mod wasm;

#[cfg(not(target_family = "wasm"))]
use mock as side;
#[cfg(target_family = "wasm")]
use wasm as side;

pub(crate) use side::{
    attempt, bag, cache, chunks, client, client_certificate, clock, config, consumer, consumer_edit,
    counters, crypto, fetch, jwt, kv, log, metrics, random, reply, request, request_body, request_body_edit,
    request_edit, response, response_body, response_body_edit, response_edit, route, secrets, secrets_reveal,
    timing, trailers, trailers_edit,
};
#[cfg(target_family = "wasm")]
pub(crate) use wasm::component;
