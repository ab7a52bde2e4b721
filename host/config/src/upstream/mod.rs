//! `[upstream.NAME]`

mod endpoint;
mod timeout;

use crate::Place;
use crate::section::section;
use crate::value::some;

pub use endpoint::Endpoint;
pub use timeout::UpstreamTimeouts;

section! {
    /// `[upstream.NAME]`: servers that answer the same requests.
    pub struct Upstream(section, name: &str) {
        /// What a route's `upstream` calls it.
        pub name: String = Some(name.to_owned()),

        /// `endpoints` (required): at least one, like "http://127.0.0.1:9001".
        pub endpoints: Vec<Endpoint> = section.required("endpoints", some(Endpoint::read)),

        /// `timeout`: how long to wait for them.
        pub timeout: UpstreamTimeouts = section.table("timeout", UpstreamTimeouts::read),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}
