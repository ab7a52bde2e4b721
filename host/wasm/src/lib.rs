//! Policies as WebAssembly components, each exchange in an isolate of its own.
//!
//! ```text
//! CodeCache   what was compiled, on disk, for the next start, in a CacheFolder
//! Engine      wasmtime with its pool of isolates, the linker, and the epochs that bound CPU time
//! Registry    bytes -> Plugin (compiled, checked) -> Image (configured memory), each made once
//! WasmPolicy  one Image under one set of limits: takes an Isolate per exchange and asks it
//! ```
//!
//! This is the only crate that says `wasmtime`.

mod account;
mod breaker;
mod cache_folder;
mod capability;
mod code_cache;
mod direct;
mod engine;
mod epochs;
mod fetches;
mod hook;
mod image;
mod isolate;
mod keeper;
mod manifest;
mod meter;
pub mod meters;
mod plugin;
mod policy;
mod pool;
mod registry;
mod rewind;
mod state;
mod tick;
mod turnstile;
mod wasi;

pub use account::{Account, Totals};
pub use cache_folder::CacheFolder;
pub use capability::cache::{Cache, CacheReading};
pub use capability::counted::Crossed;
pub use fetches::Counted;
pub use image::{Reset, Start};
pub use keeper::{Keeper, Standing};
pub use manifest::Manifest;
pub use meter::{process_time, thread_time};
pub use plugin::{CONTRACT, LoadError, Plugin};
pub use policy::WasmPolicy;
pub use registry::{NamedStore, Refused, Registry};
pub use tick::Ticker;

/// The number of the worker that the current thread is, so that isolates are kept per worker; and what a
/// worker does now and then.
pub use pool::{set_worker, tend};
