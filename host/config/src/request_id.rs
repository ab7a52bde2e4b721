//! `request_id` of `[gateway]`

use http::HeaderName;

use crate::condition::header_name;
use crate::section::section;
use crate::value::{boolean, choice};

section! {
    /// `request_id = { header = "x-request-id", trust = "proxies" }` of `[gateway]`: names each exchange for
    /// the upstream and the client as the log names it. Without it only the gateway's own answers tell an
    /// id, as `x-request-id`.
    #[derive(PartialEq, Eq)]
    pub struct RequestIds(section) {
        /// `header`: which one carries it. Default "x-request-id".
        pub header: HeaderName =
            section.or("header", header_name, HeaderName::from_static("x-request-id")),

        /// `trust`: whose ids are taken over: "never" (default), "proxies" (those of `trusted_proxies`) or
        /// "always". An id has 1 to 128 letters, digits and `-_.:/+=@~`; another is replaced.
        pub trust: IdTrust = section.or("trust", choice(IdTrust::CHOICES), IdTrust::Never),

        /// `upstream`: whether the upstream is told. Default true.
        pub upstream: bool = section.or("upstream", boolean, true),

        /// `client`: whether the client is told. Default true.
        pub client: bool = section.or("client", boolean, true),
    }
}

/// Whose ids are taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdTrust {
    Never,
    Proxies,
    Always,
}

impl IdTrust {
    const CHOICES: &[(&str, IdTrust)] =
        &[("never", IdTrust::Never), ("proxies", IdTrust::Proxies), ("always", IdTrust::Always)];
}
