//! From the exports of a component to the methods of a policy. The macro's output names these.

pub use super::bindings::{
    base, on_log, on_request, on_request_body, on_request_chunk, on_request_trailers, on_response,
    on_response_body, on_response_chunk, on_response_trailers, on_tick, on_upstream,
};
pub use base::limen::policy::types::{ChunkVerdict, Verdict};

use std::cell::RefCell;
use std::panic::PanicHookInfo;

use super::Level;
use crate::__private::{self as glue, ChunkEnding, Ending};
use crate::Policy;

/// The one instance of the policy in this isolate, between the calls. (A component without threads:
/// what is thread-local is a plain static.)
pub struct Slot<P>(RefCell<Option<P>>);

impl<P: Policy> Slot<P> {
    /// As before `configure`.
    pub const fn empty() -> Self {
        Slot(RefCell::new(None))
    }

    /// `plugin.configure`.
    pub fn configure(&self, config: &str) -> Result<(), String> {
        std::panic::set_hook(Box::new(log_panic));
        let policy = glue::configure(config)?;
        *self.0.borrow_mut() = Some(policy);
        Ok(())
    }

    /// Run a hook. Panics, which is a trap: before `configure`, and when entered again while another
    /// hook runs; the gateway does neither.
    pub fn with<T>(&self, hook: impl FnOnce(&mut P) -> T) -> T {
        let mut slot = self.0.borrow_mut();
        match &mut *slot {
            Some(policy) => hook(policy),
            None => not_configured(),
        }
    }
}

/// Message and place, in one line; the trap that follows says nothing of them.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let line = match panic.location() {
        Some(place) => format!("panicked at {place}: {message}"),
        None => format!("panicked: {message}"),
    };
    super::log::write(Level::Error, &line);
}

#[cold]
fn not_configured() -> ! {
    panic!("a hook was called before `configure`")
}

impl From<Ending> for Verdict {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Next => Verdict::Next,
            Ending::WantBody => Verdict::WantBody,
            Ending::WantChunks => Verdict::WantChunks,
            Ending::Reply => Verdict::Reply,
            Ending::Fail => Verdict::Fail,
        }
    }
}

impl From<ChunkEnding> for ChunkVerdict {
    fn from(ending: ChunkEnding) -> Self {
        match ending {
            ChunkEnding::Pass => ChunkVerdict::Pass,
            ChunkEnding::PassRest => ChunkVerdict::PassRest,
            ChunkEnding::Emitted => ChunkVerdict::Emitted,
            ChunkEnding::Drop => ChunkVerdict::Drop,
            ChunkEnding::Reply => ChunkVerdict::Reply,
            ChunkEnding::Fail => ChunkVerdict::Fail,
        }
    }
}
