//! What policies may do beyond deciding on heads: with the grant it works, without it they are not loaded.

mod cache;
mod chance;
mod consumer;
mod fetch;
mod fetch_way;
mod grants;
pub mod jwt;
mod kv;
mod kv_shared;
mod metrics;
mod secrets;
mod tick;
