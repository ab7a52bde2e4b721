//! A body that a policy answers with, and has somewhere else than in memory.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;

/// Where a reply's body comes from, piece by piece. The worker that polls it is not to wait for anything else; as
/// long as its client takes nothing, nothing is asked for.
pub trait Source: fmt::Debug + Send + Sync {
    /// The next piece; none if that was all. An error breaks the answer off, and says why.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>>;

    /// How many bytes are still to come.
    fn left(&self) -> u64;
}
