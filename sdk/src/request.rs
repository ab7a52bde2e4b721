//! The request head, as the author of a policy sees it.

use std::fmt;

use crate::{EditError, Error, HttpVersion, Method, Result, host};

/// The head of the request of this exchange.
///
/// Reading and writing go to the gateway when they are asked for: each method costs one crossing
/// (well under a microsecond) and one allocation for each value found, and a header nobody asks for
/// costs nothing. Names of headers are compared without case. Getters see what the same hook has set.
///
/// Edits are staged: they are taken when the hook ends with `Flow::Next` or `Flow::WantBody`, and
/// dropped when it ends with a reply or fails. After the request has left for the upstream (so in
/// the response phases) they are an error.
pub struct Request {
    _one_per_exchange: (),
}

impl Request {
    pub(crate) fn current() -> Self {
        Request { _one_per_exchange: () }
    }

    /// The method; [`method_text`](Self::method_text) tells what [`Method::Other`] is.
    pub fn method(&self) -> Method {
        host::request::method()
    }

    /// The method as it was sent.
    pub fn method_text(&self) -> String {
        host::request::method_text()
    }

    /// The version of HTTP that the client speaks to the gateway.
    pub fn version(&self) -> HttpVersion {
        host::request::version()
    }

    /// The host and port that the client asked for; empty if it sent none.
    pub fn authority(&self) -> String {
        host::request::authority()
    }

    /// The path as it was sent, without the query; it starts with `/` (or is `*`).
    pub fn path(&self) -> String {
        host::request::path()
    }

    /// What follows `?`, without it.
    pub fn query(&self) -> Option<String> {
        host::request::query()
    }

    /// The first value of a query parameter, decoded.
    pub fn query_param(&self, name: &str) -> Option<String> {
        host::request::query_param(name)
    }

    /// The segment that stood for `{name}` in the route's path, percent-decoded.
    pub fn path_param(&self, name: &str) -> Option<String> {
        host::request::path_param(name)
    }

    /// The first cookie of that name, without surrounding quotes.
    pub fn cookie(&self, name: &str) -> Option<String> {
        host::request::cookie(name)
    }

    /// The first value of a header. `None`: absent, or not UTF-8 (then see
    /// [`header_bytes`](Self::header_bytes)).
    pub fn header(&self, name: &str) -> Option<String> {
        host::request::header(name)
    }

    /// The first value of a header, whatever its bytes.
    pub fn header_bytes(&self, name: &str) -> Option<Vec<u8>> {
        host::request::header_bytes(name)
    }

    /// Every value of a header, in order.
    pub fn header_values(&self, name: &str) -> Vec<Vec<u8>> {
        host::request::header_values(name)
    }

    /// Whether there is such a header. Allocates nothing.
    pub fn has_header(&self, name: &str) -> bool {
        host::request::has_header(name)
    }

    /// Whether some value of the header is exactly this. Allocates nothing: the cheapest check.
    pub fn header_equals(&self, name: &str, value: &str) -> bool {
        host::request::header_equals(name, value)
    }

    /// The first values of several headers in one crossing, in the order asked.
    pub fn header_many<const N: usize>(&self, names: [&str; N]) -> [Option<String>; N] {
        let names = names.map(String::from);
        let mut values = host::request::header_many(&names).into_iter();
        std::array::from_fn(|_| values.next().flatten())
    }

    /// Every header, in one crossing and one allocation: the cheapest way from three or four headers
    /// on. Leaves out the method, the authority and the target.
    pub fn headers(&self) -> Headers {
        Headers::new(host::request::packed())
    }

    /// The length of the body in bytes, if the client said it.
    pub fn content_length(&self) -> Option<u64> {
        host::request::content_length()
    }

    /// Replace every value of a header by this one.
    pub fn set_header(&mut self, name: &str, value: &str) -> Result<()> {
        host::request_edit::set_header(name, value).map_err(|why| refused("set header", name, why))
    }

    /// Add one more value to a header.
    pub fn add_header(&mut self, name: &str, value: &str) -> Result<()> {
        host::request_edit::add_header(name, value).map_err(|why| refused("add header", name, why))
    }

    /// Remove every value of a header; removing an absent one is no error.
    pub fn remove_header(&mut self, name: &str) -> Result<()> {
        host::request_edit::remove_header(name).map_err(|why| refused("remove header", name, why))
    }

    /// Replace the method.
    pub fn set_method(&mut self, name: &str) -> Result<()> {
        host::request_edit::set_method(name).map_err(|why| refused("set method", name, why))
    }

    /// Replace the path, keeping the query. It starts with `/` and has neither `?` nor `#`.
    pub fn set_path(&mut self, path: &str) -> Result<()> {
        host::request_edit::set_path(path).map_err(|why| refused("set path", path, why))
    }

    /// Replace the query, given without `?`, or remove it.
    pub fn set_query(&mut self, query: Option<&str>) -> Result<()> {
        host::request_edit::set_query(query).map_err(|why| refused("set query", query.unwrap_or(""), why))
    }

    /// Replace the host that the upstream is asked for. The route was chosen before and stays.
    pub fn set_authority(&mut self, authority: &str) -> Result<()> {
        host::request_edit::set_authority(authority).map_err(|why| refused("set authority", authority, why))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

/// Why the request or response was not changed, in words.
pub(crate) fn refused(what: &str, name: &str, why: EditError) -> Error {
    Error::msg(format_args!("{what} `{name}`: {why}"))
}

/// The headers of a head, read in one block: an iterator over names (in lower case) and values.
#[derive(Clone, Debug)]
pub struct Headers {
    block: Vec<u8>,
    fields: usize,
    next: usize,
    /// Where the next name starts.
    at: usize,
}

impl Headers {
    pub(crate) fn new(block: Vec<u8>) -> Self {
        let fields = read_length(&block, 0);
        let at = fields.saturating_mul(8).saturating_add(4);
        Headers { block, fields, next: 0, at }
    }

    /// The name and value of the next field, without moving on the borrow of `self`.
    fn step(&mut self) -> Option<(&[u8], &[u8])> {
        if self.next >= self.fields {
            return None;
        }
        let lengths = self.next.saturating_mul(8).saturating_add(4);
        let name_end = self.at.checked_add(read_length(&self.block, lengths))?;
        let value_end = name_end.checked_add(read_length(&self.block, lengths.saturating_add(4)))?;
        let name = self.block.get(self.at..name_end)?;
        let value = self.block.get(name_end..value_end)?;
        self.next = self.next.saturating_add(1);
        self.at = value_end;
        Some((name, value))
    }
}

impl Iterator for Headers {
    type Item = (String, Vec<u8>);

    /// Copies the two out; pseudo-headers, which start with `:`, are passed over.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (name, value) = self.step()?;
            if !name.starts_with(b":") {
                return Some((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
            }
        }
    }
}

fn read_length(block: &[u8], at: usize) -> usize {
    let bytes = block.get(at..).and_then(|rest| rest.first_chunk::<4>());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_that_ends_early_ends_the_iterator() {
        let mut block = 2_u32.to_le_bytes().to_vec();
        for length in [5_u32, 3, 1, 1] {
            block.extend(length.to_le_bytes());
        }
        block.extend(b":pathabcxy");
        assert_eq!(Headers::new(block.clone()).collect::<Vec<_>>(), [("x".to_owned(), b"y".to_vec())]);
        for end in 0..block.len() {
            assert_eq!(Headers::new(block[..end].to_vec()).count(), 0);
        }
        assert_eq!(Headers::new(vec![0xff; 40]).count(), 0);
    }
}
