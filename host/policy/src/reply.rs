//! A response of a policy's own, and what may go on behind it.

use std::any::Any;

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use crate::Source;

/// A response of a policy's own.
#[derive(Debug, Default)]
pub struct Reply {
    pub head: Response<()>,
    pub body: Bytes,
    /// Where its body comes from, if it is not that.
    pub source: Option<Box<dyn Source>>,
    /// Why, if one of the gateway's own policies refuses the request with it.
    pub denied: Option<Box<Denied>>,
    /// Where it comes from, as one word for the log, if not just from a policy.
    pub reason: Option<&'static str>,
    /// What goes on behind it: only of a reply to a request.
    pub onward: Option<Box<Onward>>,
}

/// A copy of an exchange that goes on from where a policy has answered: through the policies behind that one, to
/// the upstream and back to it. Nobody waits for it, and what it brings is that policy's alone.
#[derive(Debug)]
pub struct Onward {
    /// The request that goes on; it has no body.
    pub request: Request<()>,
    /// What the policy keeps of the copy.
    pub seat: Box<dyn Any + Send + Sync>,
}

/// Why a request was refused, for the log.
#[derive(Debug)]
pub struct Denied {
    /// One word of a fixed list.
    pub code: &'static str,
    /// In words, with all that is known but secrets.
    pub why: String,
}

impl Reply {
    pub fn status(status: StatusCode) -> Self {
        let mut head = Response::new(());
        *head.status_mut() = status;
        Reply { head, ..Reply::default() }
    }
}
