//! What policies may do beyond deciding on heads: with the grant it works, without it they are not loaded.

mod cache;
mod chance;
mod consumer;
mod grants;
mod jwt;
mod metrics;
mod secrets;
