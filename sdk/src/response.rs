//! The response head, as the author of a policy sees it.

use std::fmt;

use crate::request::{Headers, refused};
use crate::{Error, Result, host};

/// The head of the response of this exchange. Costs and staging are those of
/// [`Request`](crate::Request).
pub struct Response {
    _one_per_exchange: (),
}

impl Response {
    pub(crate) fn current() -> Self {
        Response { _one_per_exchange: () }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        host::response::status()
    }

    /// The first value of a header. `None`: absent, or not UTF-8 (then see
    /// [`header_bytes`](Self::header_bytes)).
    pub fn header(&self, name: &str) -> Option<String> {
        host::response::header(name)
    }

    /// The first value of a header, whatever its bytes.
    pub fn header_bytes(&self, name: &str) -> Option<Vec<u8>> {
        host::response::header_bytes(name)
    }

    /// Every value of a header, in order.
    pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        host::response::header_values(name)
    }

    /// Whether there is such a header. Allocates nothing.
    pub fn has_header(&self, name: &str) -> bool {
        host::response::has_header(name)
    }

    /// Every header, in one crossing and one allocation. Leaves out the status.
    pub fn headers(&self) -> Headers {
        Headers::new(host::response::packed())
    }

    /// The length of the body in bytes, if it is known.
    pub fn content_length(&self) -> Option<u64> {
        host::response::content_length()
    }

    /// Whether the gateway or a policy gave this answer, and not an upstream.
    pub fn is_local(&self) -> bool {
        host::response::is_local()
    }

    /// Replace the status: 200 to 599.
    pub fn set_status(&mut self, status: u16) -> Result<()> {
        host::response_edit::set_status(status)
            .map_err(|why| Error::msg(format_args!("set status {status}: {why}")))
    }

    /// Replace every value of a header by this one.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<()> {
        host::response_edit::set_header(name, value).map_err(|why| refused("set header", name, why))
    }

    /// Add one more value to a header.
    pub fn add_header(&mut self, name: &str, value: &str) -> Result<()> {
        host::response_edit::add_header(name, value).map_err(|why| refused("add header", name, why))
    }

    /// Remove every value of a header; removing an absent one is no error.
    pub fn remove_header(&mut self, name: &str) -> Result<()> {
        host::response_edit::remove_header(name).map_err(|why| refused("remove header", name, why))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").finish_non_exhaustive()
    }
}
