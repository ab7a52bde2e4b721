//! Which endpoint a request goes to.
//!
//! What changes seldom (weights, priorities, health, slow start) is put into a [`Table`] that all
//! workers share, made anew at each change. What is left to do for a request is a look into it.

mod share;
mod slots;
mod table;

mod hash;
mod least_requests;
mod random;
mod ring;
mod round_robin;

use http::Request;
use limen_config::Balance;
use limen_policy::Client;

use crate::body::RequestBody;

use super::endpoint::EndpointId;
use super::shared::EndpointSet;
use hash::Hash;
pub use hash::cookie;
use round_robin::RoundRobin;
pub use share::Standing;
pub use table::Table;

/// What a choice can depend on.
pub struct Ask<'a> {
    pub request: &'a Request<RequestBody>,
    pub client: &'a Client,
}

/// How one worker chooses.
pub enum Balancer {
    RoundRobin(RoundRobin),
    LeastRequests,
    Random,
    Hash(Hash),
}

impl Balancer {
    /// `start` differs from worker to worker, so that they don't all begin with the same endpoint.
    pub fn new(balance: &Balance, start: usize) -> Self {
        match balance {
            Balance::RoundRobin => Balancer::RoundRobin(RoundRobin::new(start)),
            Balance::LeastRequests => Balancer::LeastRequests,
            Balance::Random => Balancer::Random,
            Balance::Hash(by) => Balancer::Hash(Hash::new(by)),
        }
    }

    /// The number of an endpoint that is none of `tried`. One that should get no requests now is
    /// answered only when there is no other.
    pub fn pick(&self, ask: &Ask<'_>, set: &EndpointSet, tried: &[EndpointId]) -> Option<usize> {
        match self {
            Balancer::RoundRobin(turns) => turns.pick(set, tried),
            Balancer::LeastRequests => least_requests::pick(set, tried),
            Balancer::Random => random::pick(set, tried),
            Balancer::Hash(hash) => hash.pick(ask, set, tried),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::upstream::endpoint::{Address, Endpoint};

    /// 10.0.0.`last`:80.
    pub fn address(last: u8) -> Address {
        let scheme = limen_config::Scheme::Http;
        Address { scheme, host: format!("10.0.0.{last}"), ip: [10, 0, 0, last].into(), port: 80 }
    }

    /// Endpoints with these weights.
    pub fn set(balance: &str, weights: &[u32]) -> EndpointSet {
        let terms = terms(&format!("balance = {balance}"));
        let endpoints = (1..).take(weights.len()).map(|number| Arc::new(Endpoint::new(address(number))));
        let endpoints: Vec<_> = endpoints.collect();
        let standing = |weight: &u32| Standing { weight: *weight, priority: 0, healthy: true, warmth: 1000 };
        let table = Table::new(&terms, &endpoints, &weights.iter().map(standing).collect::<Vec<_>>());
        EndpointSet { endpoints, table, ..EndpointSet::default() }
    }

    /// What a configuration means that has these keys.
    pub fn terms(keys: &str) -> limen_config::Upstream {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("limen.toml");
        let endpoints = if keys.contains("endpoints") { "" } else { "endpoints = [\"http://10.0.0.1\"]" };
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[upstream.u]\n{endpoints}\n{keys}\n\
             [[route]]\nupstream = \"u\"\n"
        );
        std::fs::write(&file, text).unwrap();
        let config = limen_config::Config::load(&file, &limen_config::Natives(&[])).unwrap();
        config.upstreams["u"].clone()
    }
}
