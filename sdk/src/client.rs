//! Who is at the other end of the connection. Each function costs one crossing.

use std::net::{IpAddr, Ipv6Addr};

use crate::host;

/// The client's address, an IPv4 one as such. Allocates nothing.
pub fn ip() -> IpAddr {
    let (high, low) = host::client::ip();
    let bits = (u128::from(high) << 64) | u128::from(low);
    Ipv6Addr::from_bits(bits).to_canonical()
}

/// The client's address in its usual form.
pub fn ip_text() -> String {
    host::client::ip_text()
}

/// The client's port.
pub fn port() -> u16 {
    host::client::port()
}

/// Whether the connection is encrypted.
pub fn is_tls() -> bool {
    host::client::is_tls()
}

/// `TLSv1.2` or `TLSv1.3`; `None` on a plain connection.
pub fn tls_version() -> Option<String> {
    host::client::tls_version()
}

/// The server name that the client sent when it connected.
pub fn sni() -> Option<String> {
    host::client::sni()
}
