//! Write policies for the Limen API gateway.
//!
//! A policy is a type with a `configure` function and one method for each phase of an exchange that
//! it wants to see; [`macro@policy`] turns its impl block into a component:
//!
//! ```
//! use limen::prelude::*;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Config { header: String, keys: Vec<String> }
//!
//! struct ApiKey { config: Config }
//!
//! #[limen::policy]
//! impl ApiKey {
//!     fn configure(config: Config) -> Result<Self> { Ok(ApiKey { config }) }
//!
//!     fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
//!         match request.header(&self.config.header) {
//!             Some(key) if self.config.keys.contains(&key) => Ok(Flow::Next),
//!             _ => Ok(Reply::new(401).text("missing or unknown API key").into()),
//!         }
//!     }
//! }
//! ```
//!
//! On a wasm target the functions of this crate speak to the gateway; elsewhere to the mock of one
//! in [`testing`], so that `cargo test` runs a policy without a gateway and without wasm.

pub mod prelude;

mod error;
mod flow;
mod policy;
mod reply;
mod types;

mod attempt;
mod body;
mod chunk;
mod request;
mod response;
mod trailers;

pub mod bag;
pub mod cache;
pub mod client;
pub mod client_certificate;
pub mod clock;
pub mod config;
pub mod consumer;
pub mod counters;
pub mod crypto;
pub mod fetch;
pub mod jwt;
pub mod kv;
pub mod log;
pub mod metrics;
pub mod random;
pub mod route;
pub mod secrets;
pub mod timing;

#[cfg(not(target_family = "wasm"))]
pub mod testing;

mod host;

#[cfg(target_family = "wasm")]
mod heap;
#[cfg(all(target_family = "wasm", not(feature = "wasi-stdio")))]
mod stdio;

#[doc(hidden)]
pub mod __private;

pub use limen_sdk_macros::{Deserialize, policy};
pub use schemars::JsonSchema;
pub use serde::de::Deserialize;
pub use {schemars, serde, serde_json};

pub use attempt::Attempt;
pub use body::{RequestBody, ResponseBody};
pub use chunk::Chunk;
pub use error::{Context, Error, OrReply, Result};
pub use flow::{ChunkFlow, Flow};
pub use policy::{About, Phase, Policy};
pub use reply::Reply;
pub use request::Request;
pub use response::Response;
pub use trailers::Trailers;
pub use types::{EditError, HttpVersion, Level, Method};

/// One JSON value, for settings and bodies of any shape.
pub use serde_json::{Value, json};

/// The README's first policy is compiled by `cargo test`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
