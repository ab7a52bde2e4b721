//! Every test of the whole, in one binary: the real gateway, real sockets. `cargo xtask test` builds
//! what they need and runs them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected should stop right there"
)]

mod common;

mod kit;
mod smoke;

mod bodies;
mod dialer;
mod grpc;
mod half_closed;
mod http;
mod multiplexed;
mod proxy;
mod resilience;
mod routing;
mod smuggling;
mod stale;
mod streams;
mod trailers;
mod upgrade;

mod attempts;
mod balance;
mod faults;
mod health;
mod listener;
mod names;

mod budgets;
mod capabilities;
mod isolates;
mod loading;
mod naughty;
mod neighbours;
mod plugins;
mod rewind;

mod native;

mod admin;
mod audit;
mod author;
mod commands;
mod config;
mod cost;
mod lifecycle;
mod metrics;
mod observe;
mod swap;
mod swaps;
mod systemd;
mod takeover;
mod traces;

mod examples;
mod readme;
mod released;
