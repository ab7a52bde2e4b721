//! A piece of a body, as the author of a policy sees it.

use std::ops::Deref;

/// A piece of a body in `on_request_chunk` and `on_response_chunk`: its bytes (it dereferences to them), at
/// most 64 KiB, and whether more follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    bytes: Vec<u8>,
    last: bool,
}

impl Chunk {
    pub(crate) fn new(bytes: Vec<u8>, last: bool) -> Self {
        Chunk { bytes, last }
    }

    /// Whether nothing follows. The last one may be empty.
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// Its bytes, already in the policy's memory.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
