//! `[upstream.NAME]`

mod balance;
mod endpoint;
mod timeout;

use crate::Place;
use crate::section::section;
use crate::value::{integer, some};

pub use balance::{Balance, HashBy};
pub use endpoint::Endpoint;
pub use timeout::UpstreamTimeouts;

section! {
    /// `[upstream.NAME]`: servers that answer the same requests.
    pub struct Upstream(section, name: &str) {
        /// What a route's `upstream` calls it.
        pub name: String = Some(name.to_owned()),

        /// `endpoints` (required): at least one, like "http://127.0.0.1:9001".
        pub endpoints: Vec<Endpoint> = section.required("endpoints", some(Endpoint::read)),

        /// `balance`: how one of them is chosen for a request. Default "round-robin".
        pub balance: Balance = section.or("balance", Balance::read, Balance::RoundRobin),

        /// `panic`: when less than this percentage of a group's endpoints is healthy and no other group
        /// can take over, all of them are used, healthy or not: better some errors than all requests
        /// on the few that are left. 0 to 100; default 0: only when none is healthy. (Envoy's is 50.)
        pub panic: usize = section.or("panic", integer(0..=100), 0),

        /// `timeout`: how long to wait for them.
        pub timeout: UpstreamTimeouts = section.table("timeout", UpstreamTimeouts::read),

        /// Where it stands in the file.
        pub place: Place = Some(section.place()),
    }
}
