//! The kit that tests are made with: the real `limen` on port 0, a real origin behind it, clients.
//!
//! ```no_run
//! # async fn a_test() {
//! use limen_tests::{Client, Gateway, Origin};
//!
//! let origin = Origin::start();
//! let gateway = Gateway::start(format!(
//!     r#"
//!     [[listener]]
//!     address = "127.0.0.1:0"
//!     [upstream.origin]
//!     endpoints = ["{origin}"]
//!     [[route]]
//!     path = "/**"
//!     upstream = "origin"
//!     "#
//! ))
//! .await;
//! let answer = Client::http1().get(gateway.url("/hello")).header("x-from", "me").send().await;
//! assert_eq!(answer.status, 200);
//! assert_eq!(answer.json()["path"], "/hello");
//! # }
//! ```
//!
//! Tests wait for events, never for time: for a line of the log ([`Gateway::wait_for_log`]), for an
//! answer ([`Load::wait_for`]), or for anything at all ([`eventually`]). Every wait has the same
//! deadline, [`PATIENCE`], and says what it waited for. Everything ends with the value that stands for it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected should stop right there"
)]

pub mod body;
mod certs;
pub mod client;
pub mod collector;
mod countries;
pub mod dns;
mod eventually;
mod example;
mod gateway;
mod guests;
pub mod instructions;
mod load;
pub mod oci;
pub mod origin;
pub mod raw;
mod redis;
pub mod scripted;
pub mod tls;
pub mod wire;

pub use certs::{Certs, Pair, rcgen};
pub use client::{Answer, Client};
pub use collector::Collector;
pub use countries::countries;
pub use dns::Dns;
pub use eventually::{PATIENCE, eventually, within};
pub use example::Example;
pub use gateway::{Finished, Gateway, Setup, limen};
pub use guests::{guest, guest_version, plugin};
pub use load::{Load, Report};
pub use origin::Origin;
pub use redis::{LossyLine, PASSWORD as REDIS_PASSWORD, RealRedis, SlowLine};
pub use scripted::{Act, Scripted};
