//! Buffered bodies: what `on_request_body` and `on_response_body` read and replace.
//!
//! Two types and not one, because a component imports what it could call: a policy that reads
//! requests does not import the bodies of responses.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result, host};

/// One read copies at most this much, so that the gateway's bound on what one call may copy is never met.
const READ: u32 = 1024 * 1024;

macro_rules! body {
    ($(#[$doc:meta])* $name:ident, $read:ident, $edit:ident) => {
        $(#[$doc])*
        pub struct $name {
            _one_per_exchange: (),
        }

        impl $name {
            pub(crate) fn current() -> Self {
                $name { _one_per_exchange: () }
            }

            /// Its length in bytes. One crossing.
            pub fn size(&self) -> u64 {
                host::$read::size()
            }

            /// All of it: one crossing and one copy for each MiB.
            pub fn bytes(&self) -> Vec<u8> {
                let mut bytes = host::$read::read(0, READ);
                let size = self.size();
                while (bytes.len() as u64) < size {
                    let more = host::$read::read(bytes.len() as u64, READ);
                    if more.is_empty() {
                        break;
                    }
                    bytes.extend_from_slice(&more);
                }
                bytes
            }

            /// At most `max` bytes from `offset`: one crossing and one copy.
            pub fn read(&self, offset: u64, max: u32) -> Vec<u8> {
                host::$read::read(offset, max)
            }

            /// All of it as text. Errors: it is not UTF-8. (For the client's own text say
            /// `.or_reply(400)?`.)
            pub fn text(&self) -> Result<String> {
                Ok(String::from_utf8(self.bytes())?)
            }

            /// All of it, read as JSON. Errors: it is not JSON, or not of this shape. (For the client's
            /// own JSON say `.or_reply(400)?`.)
            pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
                Ok(serde_json::from_slice(&self.bytes())?)
            }

            /// Replace it: one crossing and one copy. Staged like an edit of the head; the gateway sets
            /// `content-length`. Errors: it is longer than `limits.body` of the gateway.
            pub fn replace(&mut self, body: impl AsRef<[u8]>) -> Result<()> {
                let body = body.as_ref();
                host::$edit::replace(body).map_err(|why| {
                    Error::msg(format_args!("replace the body by {} bytes: {why}", body.len()))
                })
            }

            /// Replace it by this value as JSON; `content-type` is left as it is. Errors: those of
            /// [`replace`](Self::replace), or the value cannot be written as JSON.
            pub fn replace_json(&mut self, value: &impl Serialize) -> Result<()> {
                self.replace(serde_json::to_vec(value)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    };
}

body! {
    /// The whole body of the request, in `on_request_body`.
    RequestBody, request_body, request_body_edit
}

body! {
    /// The whole body of the response, in `on_response_body`.
    ResponseBody, response_body, response_body_edit
}
