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
    /// Stop here and send this response. The hook's edits are dropped.
    Reply(Reply),
}

impl From<Reply> for Flow {
    fn from(reply: Reply) -> Self {
        Flow::Reply(reply)
    }
}
