//! One address of an upstream, and how it is.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use limen_config::Scheme;

use super::tally::Tallies;

/// An address that answers requests. All workers share it, and it outlives reloads.
pub struct Endpoint {
    pub id: EndpointId,
    pub address: Address,
    /// Its connections.
    pub connections: Tallies,
    in_flight: Alone<AtomicUsize>,
}

/// Tells one endpoint from every other that this process has ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EndpointId(u64);

/// What makes an endpoint the same one over reloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    pub scheme: Scheme,
    /// A name or an IP address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

/// A value on cache lines of its own: that it is written to disturbs nobody who reads what is beside it.
#[repr(align(128))]
#[derive(Default)]
struct Alone<T>(T);

impl Endpoint {
    pub fn new(address: Address) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let id = EndpointId(COUNT.fetch_add(1, Ordering::Relaxed));
        Endpoint { id, address, connections: Tallies::default(), in_flight: Alone::default() }
    }

    /// How many requests are under way here, over all workers. Counted only where the way of
    /// balancing needs it.
    pub fn in_flight(&self) -> usize {
        self.in_flight.0.load(Ordering::Relaxed)
    }

    /// One more request is under way, until [`Endpoint::ended`].
    pub(super) fn began(&self) {
        self.in_flight.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self) {
        self.in_flight.0.fetch_sub(1, Ordering::Relaxed);
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
