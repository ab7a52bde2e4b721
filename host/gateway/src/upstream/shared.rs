//! What all workers share of an upstream. It outlives reloads: an upstream of the same name finds the
//! state of its endpoints again.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use limen_config::Upstream as Terms;

/// An upstream as the whole gateway sees it.
pub struct Shared {
    /// What the configuration says of it.
    pub terms: Terms,
    /// Where it is served right now.
    endpoints: ArcSwap<EndpointSet>,
}

/// The endpoints of an upstream at one moment.
#[derive(Default)]
pub struct EndpointSet {
    pub endpoints: Vec<Arc<Endpoint>>,
}

/// One address of an upstream, and how it is.
pub struct Endpoint {
    pub address: Address,
}

/// What makes an endpoint the same one over reloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// A name or an IP address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

impl Shared {
    /// `previous` is the upstream of this name in the snapshot before.
    pub fn new(terms: &Terms, previous: Option<&Shared>) -> Self {
        let known = previous.map(Shared::endpoints);
        let endpoints = terms.endpoints.iter().map(|endpoint| {
            let address = Address { host: endpoint.host.clone(), port: endpoint.port };
            let same = known.as_ref().and_then(|known| {
                known.endpoints.iter().find(|endpoint| endpoint.address == address).cloned()
            });
            same.unwrap_or_else(|| Arc::new(Endpoint { address }))
        });
        let set = EndpointSet { endpoints: endpoints.collect() };
        Shared { terms: terms.clone(), endpoints: ArcSwap::from_pointee(set) }
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

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}
