//! The endpoints of a moment, as one worker sees them, and the right to ask one of them.

use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;

use super::endpoint::{Endpoint, EndpointId};
use super::pool::{Pool, Pools};
use super::shared::{EndpointSet, Shared};

/// The endpoints of a moment, each with this worker's connections to it.
#[derive(Default)]
pub struct Here {
    pub set: Arc<EndpointSet>,
    pools: Vec<Rc<Pool>>,
}

/// The endpoint that a request goes to. It is one of the requests under way there until this is dropped.
pub struct Picked {
    here: Rc<Here>,
    number: usize,
}

/// How a request went at its endpoint, as far as that tells whether the endpoint is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered.
    Answered(StatusCode),
    /// It took no connection, broke it off before the head of an answer, or was too slow.
    Failed,
}

impl Here {
    pub fn new(shared: &Shared, pools: &Pools) -> Rc<Self> {
        let set = shared.endpoints();
        let pools = set.endpoints.iter().map(|endpoint| pools.get(endpoint, &shared.connector)).collect();
        Rc::new(Here { set, pools })
    }

    /// The endpoint of this number, as one that a request goes to.
    pub fn picked(self: Rc<Self>, number: usize) -> Option<Picked> {
        let endpoint = self.set.endpoints.get(number)?;
        if self.set.table.counts() {
            endpoint.began();
        }
        Some(Picked { here: self, number })
    }
}

impl Picked {
    pub fn endpoint(&self) -> &Endpoint {
        // `Here::picked` has looked.
        #[expect(clippy::indexing_slicing, reason = "a number is checked when it is picked")]
        &self.here.set.endpoints[self.number]
    }

    pub fn id(&self) -> EndpointId {
        self.endpoint().id
    }

    /// This worker's connections to it.
    pub fn pool(&self) -> &Rc<Pool> {
        #[expect(clippy::indexing_slicing, reason = "there is one for each endpoint")]
        &self.here.pools[self.number]
    }

    /// To be told once for each attempt.
    pub fn report(&self, outcome: Outcome) {
        let _ = outcome;
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        if self.here.set.table.counts() {
            self.endpoint().ended();
        }
    }
}
