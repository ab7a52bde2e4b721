//! What all workers share of an upstream. It outlives reloads: an upstream of the same name finds the
//! state of its endpoints again.

use std::sync::Arc;

use arc_swap::ArcSwap;
use limen_config::Upstream as Terms;

use super::balance::{Member, Table};
use super::connect::Connector;
use super::endpoint::{Address, Endpoint};

/// An upstream as the whole gateway sees it.
pub struct Shared {
    /// What the configuration says of it.
    pub terms: Terms,
    /// How its endpoints are connected to.
    pub connector: Arc<Connector>,
    /// Where it is served right now.
    endpoints: ArcSwap<EndpointSet>,
}

/// The endpoints of an upstream at one moment.
#[derive(Default)]
pub struct EndpointSet {
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Which of them get requests, and how many.
    pub(super) table: Table,
}

impl Shared {
    /// `previous` is the upstream of this name in the snapshot before.
    pub fn new(terms: &Terms, connector: Arc<Connector>, previous: Option<&Shared>) -> Self {
        let known = previous.map(Shared::endpoints);
        let endpoints = terms.endpoints.iter().map(|endpoint| {
            let address =
                Address { scheme: endpoint.scheme, host: endpoint.host.clone(), port: endpoint.port };
            let same = known.as_ref().and_then(|known| {
                known.endpoints.iter().find(|endpoint| endpoint.address == address).cloned()
            });
            let endpoint_here = same.unwrap_or_else(|| Arc::new(Endpoint::new(address)));
            Member { endpoint: endpoint_here, weight: endpoint.weight, priority: endpoint.priority }
        });
        let members: Vec<Member> = endpoints.collect();
        let table = Table::new(terms, &members);
        let set =
            EndpointSet { endpoints: members.into_iter().map(|member| member.endpoint).collect(), table };
        Shared { terms: terms.clone(), connector, endpoints: ArcSwap::from_pointee(set) }
    }

    /// Its endpoints as they are now.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.endpoints.load_full()
    }

    /// Whether these still are its endpoints.
    pub fn is_current(&self, set: &Arc<EndpointSet>) -> bool {
        Arc::ptr_eq(&self.endpoints.load(), set)
    }
}
