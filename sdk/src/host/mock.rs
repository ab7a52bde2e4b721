//! In tests: a gateway in a thread-local, which does with a policy's calls what `wit/` promises.

mod capability;
mod head;
mod passing;
mod rate;
mod state;

pub(crate) use capability::*;
pub(crate) use head::{Head, RequestHead, ResponseHead};
pub(crate) use passing::*;
pub(crate) use state::{Exchange, Moment, Process, current, enter};
