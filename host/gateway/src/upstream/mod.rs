//! A named group of endpoints, as one worker sees it.

mod affinity;
mod attempt;
mod balance;
mod connect;
mod endpoint;
mod failure;
mod health;
mod here;
mod host;
mod lease;
mod pool;
mod resilience;
mod resolve;
mod shared;
mod source;
pub mod status;
mod tally;
mod upkeep;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::{Request, Response};
use limen_policy::Client;

use crate::body::{RequestBody, ResponseBody};
use crate::observe::Attempts;
use crate::pipeline::Tries;
use crate::refusal::Fault;

use affinity::Bond;
use attempt::Course;
use balance::{Ask, Balancer};
pub use connect::Connector;
use endpoint::EndpointId;
pub use endpoint::{Endpoint, Outcome};
pub use health::Condition;
use here::Here;
pub use here::Picked;
pub use lease::Lease;
pub use pool::Pools;
use resilience::Counts;
pub use resilience::{Counted, Permit, Reader, Standing};
pub use shared::Shared;
pub use tally::ConnectionCounts;
pub use upkeep::Upkeep;

pub struct Upstream {
    shared: Arc<Shared>,
    /// The number of its worker.
    number: usize,
    balancer: Balancer,
    pools: Rc<Pools>,
    here: RefCell<Rc<Here>>,
}

/// A request on its way to an upstream.
pub struct Outgoing<'a> {
    /// In a box: it goes through many hands.
    pub request: Box<Request<RequestBody>>,
    pub client: &'a Client,
    /// Where its attempts are noted; none if nobody wants to know.
    pub attempts: Option<Attempts<'a>>,
    /// The policies to ask before each of them, if there are any.
    pub tries: Option<&'a Tries>,
    /// The upstreams of its world, one of which may have to stand in.
    pub others: &'a [Upstream],
}

/// What an upstream answered.
pub struct Answer {
    pub head: Response<()>,
    pub body: ResponseBody,
}

impl Upstream {
    /// `number` is the worker's: they don't all begin with the same endpoint.
    pub fn new(shared: Arc<Shared>, pools: Rc<Pools>, number: usize) -> Self {
        let balancer = Balancer::new(&shared.terms.balance, number);
        let upstream = Upstream { shared, number, balancer, pools, here: RefCell::default() };
        if upstream.shared.connector.pool.warm > 0 {
            upstream.here();
        }
        upstream
    }

    /// Sends a request to an endpoint and waits for the head of its answer, with all that is configured
    /// against trouble. Without any of it, an endpoint that no connection can be made to hands the
    /// request on to the next, and that is all.
    pub async fn send(&self, outgoing: Outgoing<'_>) -> Result<Answer, Fault> {
        if let Some(on) = &self.shared.resilience {
            // In a box, for most upstreams don't have it, and each of their requests would grow by it.
            return Box::pin(resilience::send(self, on, outgoing)).await;
        }
        let Outgoing { request, client, attempts, tries, others: _ } = outgoing;
        let course = Course::new(self.shared.terms.timeout.connect);
        self.attempt(request, client, attempts, tries, &course).await.map_err(|failed| failed.fault)
    }

    /// Whether a request may be sent again whose connection was closed under it: where there is a budget
    /// for what is sent twice, within that.
    fn may_repeat(&self) -> bool {
        self.shared.resilience.as_ref().is_none_or(|on| on.may_repeat(self.counts()))
    }

    /// What the configuration says of it.
    pub fn terms(&self) -> &limen_config::Upstream {
        &self.shared.terms
    }

    /// Host and port of one of its endpoints.
    pub fn an_address(&self) -> Option<String> {
        self.here().set.endpoints.first().map(|endpoint| endpoint.address.authority())
    }

    /// What happened that operators should see.
    fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// The endpoint that a request goes to: none of those that were tried.
    pub fn pick(&self, ask: &Ask<'_>, tried: &[EndpointId]) -> Option<Picked> {
        let here = self.here();
        if let Some(number) = here.kept(ask.request.headers(), tried) {
            return here.picked(number, Bond::Kept);
        }
        let number = self.balancer.pick(ask, &here.set, tried)?;
        let bond = match here.set.cookies {
            Some(_) => Bond::New { secure: ask.client.tls.is_some() },
            None => Bond::Free,
        };
        here.picked(number, bond)
    }

    /// The endpoints as they are now.
    fn here(&self) -> Rc<Here> {
        let mut here = self.here.borrow_mut();
        if !self.shared.is_current(&here.set) {
            *here = Here::new(&self.shared, &self.pools);
        }
        here.clone()
    }
}
