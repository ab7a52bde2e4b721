//! Where a request is about to go, as the author of a policy sees it.

use std::fmt;

use crate::host;

/// The attempt that `on_upstream` is about. Each method costs one crossing.
pub struct Attempt {
    _one_per_exchange: (),
}

impl Attempt {
    pub(crate) fn current() -> Self {
        Attempt { _one_per_exchange: () }
    }

    /// Which one of this request it is, from 1.
    pub fn number(&self) -> u32 {
        host::attempt::number()
    }

    /// The endpoint's address: `host:port`, or the path of a Unix socket.
    pub fn endpoint(&self) -> String {
        host::attempt::endpoint().unwrap_or_default()
    }
}

impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt").finish_non_exhaustive()
    }
}
