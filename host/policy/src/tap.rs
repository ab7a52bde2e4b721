//! A copy of a body, for a policy that changes nothing of it.

use bytes::Bytes;

/// Where a copy of a response's body goes. As long as more is wanted it is read ahead of its client, and on when
/// that is gone. Dropped before the end, the body broke off.
pub trait Tap: Send + Sync {
    /// The next piece; whether more is wanted.
    fn piece(&mut self, data: &Bytes) -> bool;

    /// That was all of it.
    fn end(self: Box<Self>);
}
