//! How many connections there may be, in total and of one client.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use super::{Shared, Terms, Trouble};

/// The right to be connected; given back when dropped.
pub struct Permit {
    shared: Arc<Shared>,
    client: Network,
}

/// An IPv4 address, or the network of an IPv6 one: whoever has one address there has all 2^64 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(u128);

/// How many connections each client has, in parts with a lock each. Only who is connected is in it.
pub struct Clients {
    hasher: RandomState,
    parts: [Mutex<HashMap<Network, usize>>; 16],
}

impl Default for Clients {
    fn default() -> Self {
        Clients { hasher: RandomState::new(), parts: Default::default() }
    }
}

impl Terms {
    /// Counts a connection in, or says in the log why not.
    pub fn admit(&self, address: SocketAddr) -> Option<Permit> {
        let counters = &self.shared.counters;
        let client = Network::of(address.ip());
        if counters.open.fetch_add(1, Relaxed) >= self.limits.connections {
            counters.open.fetch_sub(1, Relaxed);
            let reason = format_args!("{} connections are open", self.limits.connections);
            self.report(Trouble::Connections, address, reason);
            return None;
        }
        if !self.shared.clients.enter(client, self.limits.connections_per_client) {
            counters.open.fetch_sub(1, Relaxed);
            let reason =
                format_args!("{} connections of this client are open", self.limits.connections_per_client);
            self.report(Trouble::ConnectionsPerClient, address, reason);
            return None;
        }
        counters.accepted.fetch_add(1, Relaxed);
        Some(Permit { shared: self.shared.clone(), client })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.clients.leave(self.client);
        self.shared.counters.open.fetch_sub(1, Relaxed);
    }
}

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Network(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Network(v6.to_bits() >> 64 << 64),
        }
    }
}

impl Clients {
    /// Whether there is room for one more of this client.
    fn enter(&self, client: Network, limit: usize) -> bool {
        let Some(part) = self.part(client) else { return true };
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        let open = part.entry(client).or_default();
        if *open >= limit {
            return false;
        }
        *open += 1;
        true
    }

    fn leave(&self, client: Network) {
        let Some(part) = self.part(client) else { return };
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        match part.get_mut(&client) {
            Some(open) if *open > 1 => *open -= 1,
            _ => drop(part.remove(&client)),
        }
    }

    fn part(&self, client: Network) -> Option<&Mutex<HashMap<Network, usize>>> {
        self.parts.get(self.hasher.hash_one(client) as usize % self.parts.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_so_many_connections_and_no_more() {
        let clients = Clients::default();
        let [a, same, b] = ["2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1"]
            .map(|address| Network::of(address.parse().unwrap()));
        assert_eq!(a, same);
        assert!(clients.enter(a, 2) && clients.enter(same, 2));
        assert!(!clients.enter(a, 2));
        assert!(clients.enter(b, 2));
        clients.leave(a);
        assert!(clients.enter(a, 2));
        for client in [a, a, b] {
            clients.leave(client);
        }
        assert!(clients.parts.iter().all(|part| part.lock().unwrap().is_empty()));
    }

    #[test]
    fn an_ipv4_address_is_one_client_however_it_is_written() {
        let [v4, mapped, other] = ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"]
            .map(|address| Network::of(address.parse().unwrap()));
        assert_eq!(v4, mapped);
        assert_ne!(v4, other);
    }
}
