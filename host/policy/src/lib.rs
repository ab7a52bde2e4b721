//! What a policy is, and what it sees.
//!
//! A [`Policy`] is asked at the [`Phase`]s it wants, about one [`Exchange`] (a request and its
//! answer), and says what comes next with a [`Verdict`] or that it failed with a [`Failure`].
//! Whether it is one of the built-in ones in [`native`] or a component in an isolate makes no
//! difference to who calls it.
//!
//! This crate knows requests; it knows neither sockets nor wasmtime.

mod bag;
mod certificate;
mod consumer;
mod destination;
mod edit;
mod exchange;
mod fetch;
mod fixed;
mod hooks;
pub mod keys;
pub mod native;
mod phase;
mod policy;
mod problem;
mod reply;
mod source;
mod subject;
mod tap;
mod thinned;
mod timing;
pub mod vault;

pub use bag::Bag;
pub use certificate::ClientCertificate;
pub use consumer::Consumer;
pub use destination::{Astray, HostTemplate, Location, PathTemplate, without_port};
pub use edit::{
    Change, EditError, HeaderEdit, MAX_EDITS, MAX_REPLY, MAX_VALUE, SPEAKS_OF_THE_BODY, may_trail,
};
pub use exchange::{
    Client, Decision, Exchange, Parameter, Parameters, Refusal, RequestId, RouteFacts, Side, TargetMemory,
    TlsFacts, cookie,
};
pub use fetch::{Call, Fetch, FetchError, Fetched, FetchedBody, Later, add_call_header, call_head};
pub use fixed::Fixed;
pub use hooks::{Hook, Hooks, Outcome};
pub use phase::{Phase, Phases};
pub use policy::{Answer, Failure, FailureKind, Policy, QuotaUsage, Seat, SecretPlace, Verdict};
pub use problem::problem;
pub use reply::{Denied, Onward, Reply};
pub use source::Source;
pub use subject::{Attempt, Chunk, Subject};
pub use tap::Tap;
pub use thinned::Thinned;
pub use timing::{Timing, Went};
