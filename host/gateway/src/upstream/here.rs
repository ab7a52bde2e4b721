//! The endpoints of a moment, as one worker sees them, and the right to ask one of them.

use std::rc::Rc;
use std::sync::Arc;

use http::HeaderMap;

use super::affinity::Bond;
use super::endpoint::{Endpoint, EndpointId, Outcome};
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
    /// Small, as each answer that is on its way holds one.
    number: u32,
    bond: Bond,
}

impl Here {
    pub fn new(shared: &Shared, pools: &Pools) -> Rc<Self> {
        let set = shared.endpoints();
        let pools = set.endpoints.iter().map(|endpoint| pools.get(endpoint, &shared.connector)).collect();
        Rc::new(Here { set, pools })
    }

    /// The endpoint that a client stays with, if it can.
    pub fn kept(&self, headers: &HeaderMap, tried: &[EndpointId]) -> Option<usize> {
        let number = self.set.cookies.as_ref()?.named(headers)?;
        let endpoint = self.set.endpoints.get(number)?;
        (self.set.table.may_keep(number) && !tried.contains(&endpoint.id)).then_some(number)
    }

    /// The endpoint of this number, as one that a request goes to.
    pub fn picked(self: Rc<Self>, number: usize, bond: Bond) -> Option<Picked> {
        let endpoint = self.set.endpoints.get(number)?;
        let number = u32::try_from(number).ok()?;
        if self.set.table.counts() {
            endpoint.began();
        }
        Some(Picked { here: self, number, bond })
    }
}

impl Picked {
    pub fn endpoint(&self) -> &Endpoint {
        // `Here::picked` has looked.
        #[expect(clippy::indexing_slicing, reason = "a number is checked when it is picked")]
        &self.here.set.endpoints[self.number as usize]
    }

    pub fn id(&self) -> EndpointId {
        self.endpoint().id
    }

    /// How many endpoints there were to pick from.
    pub fn among(&self) -> usize {
        self.here.set.endpoints.len()
    }

    /// This worker's connections to it.
    pub fn pool(&self) -> &Rc<Pool> {
        #[expect(clippy::indexing_slicing, reason = "there is one for each endpoint")]
        &self.here.pools[self.number as usize]
    }

    /// To be told once for each attempt.
    pub fn report(&self, outcome: Outcome) {
        self.here.set.note(self.endpoint(), outcome);
    }

    /// To be called with the head of the answer that the client gets: tells the client which endpoint it
    /// stays with.
    pub fn mark(&self, headers: &mut HeaderMap) {
        if let Some(cookies) = &self.here.set.cookies {
            cookies.tell(self.number as usize, self.bond, headers);
        }
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        if self.here.set.table.counts() {
            self.endpoint().ended();
        }
    }
}
