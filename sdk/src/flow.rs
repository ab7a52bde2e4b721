//! How a hook ends.

use crate::Reply;

/// What happens after a head or body hook. A [`Reply`] converts into one with `into()`.
#[derive(Debug)]
pub enum Flow {
    /// Carry on with the next policy, the upstream or the client. The hook's edits are taken.
    Next,
    /// From `on_request` or `on_response`: wait for the whole body, then call `on_request_body` or
    /// `on_response_body`. The hook's edits are taken. Without that method the policy fails.
    WantBody,
    /// From `on_request` or `on_response`: call `on_request_chunk` or `on_response_chunk` for every piece of
    /// the body as it comes. The hook's edits are taken. Without that method the policy fails.
    WantChunks,
    /// Stop here and send this response. The hook's edits are dropped.
    Reply(Reply),
}

impl From<Reply> for Flow {
    fn from(reply: Reply) -> Self {
        Flow::Reply(reply)
    }
}

/// What becomes of the piece of a body that a chunk hook was given. A [`Reply`] converts into one with
/// `into()`.
#[derive(Debug)]
pub enum ChunkFlow {
    /// It goes on as it came; nothing is copied.
    Pass,
    /// It goes on as it came, and so does all that follows: the hook is not called again.
    PassRest,
    /// This goes on in its place. Too long (over `limits.body`) is a failure.
    Emit(Vec<u8>),
    /// Nothing goes on.
    Drop,
    /// Stop here and send this response. Only while nothing was sent: of a request until the upstream's
    /// response is there, of a response until something of it has gone on. Later it is a failure.
    Reply(Reply),
}

impl From<Reply> for ChunkFlow {
    fn from(reply: Reply) -> Self {
        ChunkFlow::Reply(reply)
    }
}
