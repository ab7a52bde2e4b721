//! Which endpoint a request goes to.

mod round_robin;

use http::Request;
use limen_policy::Client;

use crate::body::RequestBody;

use round_robin::RoundRobin;

/// What a choice can depend on.
#[allow(dead_code, reason = "round robin depends on nothing")]
pub struct Ask<'a> {
    pub request: &'a Request<RequestBody>,
    pub client: &'a Client,
}

/// How one worker chooses.
pub enum Balancer {
    RoundRobin(RoundRobin),
}

impl Balancer {
    /// `start` differs from worker to worker, so that they don't all begin with the same endpoint.
    pub fn new(start: usize) -> Self {
        Balancer::RoundRobin(RoundRobin::new(start))
    }

    /// The number of one of `count` endpoints that is none of `tried`.
    pub fn pick(&self, _ask: &Ask<'_>, count: usize, tried: &[usize]) -> Option<usize> {
        match self {
            Balancer::RoundRobin(turns) => turns.pick(count, tried),
        }
    }
}
