//! Where we are in the gateway's configuration. Each function costs one crossing.

use crate::host;

/// The route's name in the TOML.
pub fn name() -> String {
    host::route::name()
}

/// The name of the upstream that the route leads to.
pub fn upstream() -> Option<String> {
    host::route::upstream()
}

/// The id of this request: in the log, and in every answer that the gateway makes itself.
pub fn request_id() -> String {
    host::route::request_id()
}
