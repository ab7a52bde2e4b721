//! `[gateway.resolver]`

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::section::section;
use crate::value::{Value, duration, list};

section! {
    /// `[gateway.resolver]`: how host names of endpoints become addresses. They are asked for again when
    /// their time to live is over. Both IPv4 and IPv6 addresses are taken, each as an endpoint, but for
    /// those that this machine has no route to. A name that can't be resolved any more keeps the
    /// addresses it had. `/etc/hosts` goes before all servers.
    #[derive(PartialEq, Eq)]
    pub struct Resolver(section) {
        /// `servers`: whom to ask, like "10.0.0.53" or "10.0.0.53:5353". Left out: those of
        /// `/etc/resolv.conf`.
        pub servers: Vec<SocketAddr> = section.or("servers", list(server), Vec::new()),

        /// `timeout`: how long one question may take, 10ms to 1m. Default 2s.
        pub timeout: Duration =
            section.or("timeout", duration(Duration::from_millis(10)..=Duration::from_secs(60)), Duration::from_secs(2)),

        /// `min_ttl`: names are not asked for again sooner, whatever their time to live, 100ms to 24h.
        /// Default 1s.
        pub min_ttl: Duration = section.or("min_ttl", duration(TTL), Duration::from_secs(1)),

        /// `max_ttl`: nor later than this, 100ms to 24h. Default 5m.
        pub max_ttl: Duration = section.or("max_ttl", duration(TTL), Duration::from_secs(300)),
    }
}

const TTL: std::ops::RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(24 * 3600);

/// An address, with the port that DNS has if none is written.
fn server(value: &Value<'_>) -> Option<SocketAddr> {
    const EXPECTED: &str = "an IP address like \"10.0.0.53\", \"10.0.0.53:5353\" or \"[fd00::53]:53\"";
    let text = value.text(EXPECTED)?;
    let with_port = text.parse::<SocketAddr>().ok();
    let address = with_port.or_else(|| text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53)));
    match address.filter(|address| address.port() != 0) {
        Some(address) => Some(address),
        None => value.fail(value.error(format!("not an address: `{text}`")).expected(EXPECTED)),
    }
}
