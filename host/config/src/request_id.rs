//! `request_id` of `[gateway]`

use http::{HeaderName, header};

use crate::condition::header_name;
use crate::section::section;
use crate::value::{Value, boolean, choice};

section! {
    /// `request_id = { header = "x-request-id", trust = "proxies" }` of `[gateway]`: names each exchange for
    /// the upstream and the client as the log names it. Without it only the gateway's own answers tell an
    /// id, as `x-request-id`.
    #[derive(PartialEq, Eq)]
    pub struct RequestIds(section) {
        /// `header`: which one carries it; none that HTTP itself reads. Default "x-request-id".
        pub header: HeaderName =
            section.or("header", free_header, HeaderName::from_static("x-request-id")),

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

/// A header that is not needed for anything else.
fn free_header(value: &Value<'_>) -> Option<HeaderName> {
    let name = header_name(value)?;
    if TAKEN.contains(&name) {
        let error = value.error(format!("HTTP itself reads `{name}`"));
        return value.fail(error.expected("the name of another header, like \"x-request-id\""));
    }
    Some(name)
}

/// An id in the place of one of these would break the message.
const TAKEN: [HeaderName; 10] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::SET_COOKIE,
];
