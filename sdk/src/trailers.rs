//! What follows a body, as the author of a policy sees it.

use std::fmt;

use crate::request::{Headers, refused};
use crate::{Result, host};

/// The trailers of the message at hand, in `on_request_trailers` and `on_response_trailers`; gRPC's
/// `grpc-status` is one. Costs and staging are those of [`Request`](crate::Request).
pub struct Trailers {
    _one_per_exchange: (),
}

impl Trailers {
    pub(crate) fn current() -> Self {
        Trailers { _one_per_exchange: () }
    }

    /// The first value of a field. `None`: absent, or not UTF-8 (then see [`get_bytes`](Self::get_bytes)).
    pub fn get(&self, name: &str) -> Option<String> {
        host::trailers::get(name)
    }

    /// The first value of a field, whatever its bytes.
    pub fn get_bytes(&self, name: &str) -> Option<Vec<u8>> {
        host::trailers::get_bytes(name)
    }

    /// Every value of a field, in order.
    pub fn values(&self, name: &str) -> Vec<Vec<u8>> {
        host::trailers::values(name)
    }

    /// Whether there is such a field. Allocates nothing.
    pub fn has(&self, name: &str) -> bool {
        host::trailers::has(name)
    }

    /// Every field, in one crossing and one allocation.
    pub fn all(&self) -> Headers {
        Headers::new(host::trailers::packed())
    }

    /// Replace every value of a field by this one.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        host::trailers_edit::set(name, value).map_err(|why| refused("set trailer", name, why))
    }

    /// Add one more value to a field.
    pub fn add(&mut self, name: &str, value: &str) -> Result<()> {
        host::trailers_edit::add(name, value).map_err(|why| refused("add trailer", name, why))
    }

    /// Remove every value of a field; removing an absent one is no error.
    pub fn remove(&mut self, name: &str) -> Result<()> {
        host::trailers_edit::remove(name).map_err(|why| refused("remove trailer", name, why))
    }
}

impl fmt::Debug for Trailers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trailers").finish_non_exhaustive()
    }
}
