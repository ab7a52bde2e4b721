//! A copy of a body, for a policy that changes nothing of it.

use bytes::Bytes;

/// Where a copy of a response's body goes. As long as more is wanted it is read ahead of its client, and on when
/// that is gone and it is worth that. Dropped before the end, the body broke off.
pub trait Tap: Send + Sync {
    /// The next piece; whether more is wanted.
    fn piece(&mut self, data: &Bytes) -> bool;

    /// Whether all of it is to be read for this alone, its client being gone. If not, it is read on only if little of it is
    /// left.
    fn is_worth_alone(&self) -> bool {
        true
    }

    /// That was all of it.
    fn end(self: Box<Self>);
}
