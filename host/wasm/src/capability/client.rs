//! `client`: who is at the other end of the connection.

use std::net::IpAddr;

use super::bindings::limen::policy::client;
use crate::state::State;

impl client::Host for State {
    fn ip(&mut self) -> (u64, u64) {
        let address = match self.exchange.client.address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let bits = u128::from(address);
        ((bits >> 64) as u64, bits as u64)
    }

    fn ip_text(&mut self) -> String {
        self.exchange.client.address.ip().to_canonical().to_string()
    }

    fn port(&mut self) -> u16 {
        self.exchange.client.address.port()
    }

    fn is_tls(&mut self) -> bool {
        self.exchange.client.tls.is_some()
    }

    fn tls_version(&mut self) -> Option<String> {
        self.exchange.client.tls.as_ref().map(|tls| tls.version.to_owned())
    }

    fn sni(&mut self) -> Option<String> {
        self.exchange.client.tls.as_ref()?.server_name.clone()
    }
}
