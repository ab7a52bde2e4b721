//! Where a request leads: paths and URLs that are filled in from its own.

mod host;
mod location;
mod template;

pub use host::HostTemplate;
pub use location::{Location, without_port};
pub use template::PathTemplate;

/// Why a request leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub enum Astray {
    /// Parts of a good path have made a bad one.
    DotSegments,
    /// The host that was asked for is none.
    Host,
    /// What came of it can't be sent.
    Unreadable,
    /// An expression has no value, or none that can be there; the log is told why.
    Valueless(String),
}

impl Astray {
    /// For the client.
    pub fn detail(&self) -> &'static str {
        match self {
            Astray::DotSegments => "The path has dot segments.",
            Astray::Host => "The host is none.",
            Astray::Unreadable => "The path can't be read.",
            Astray::Valueless(_) => "The request lacks something that it needs to be sent on.",
        }
    }

    /// For the log.
    pub fn why(&self) -> &str {
        match self {
            Astray::Valueless(why) => why,
            astray => astray.detail(),
        }
    }
}
