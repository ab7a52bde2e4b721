//! In tests: a gateway in a thread-local, which does with a policy's calls what `wit/` promises.

pub(crate) mod cache;
mod calls;
mod capability;
pub(crate) mod clock;
pub(crate) mod consumer;
pub(crate) mod crypto;
mod head;
pub(crate) mod jwt;
pub(crate) mod metrics;
mod passing;
pub(crate) mod random;
mod rate;
pub(crate) mod secrets;
mod state;
mod stores;
pub(crate) mod timing;

pub(crate) use calls::{Calls, fetch};
pub(crate) use capability::*;
pub(crate) use consumer::edit as consumer_edit;
pub(crate) use head::{Head, RequestHead, ResponseHead};
pub(crate) use passing::*;
pub(crate) use secrets as secrets_reveal;
pub(crate) use state::{Exchange, Moment, Process, current, enter};
pub(crate) use stores::{Stores, kv};
