//! Networks: addresses that belong together

use std::net::IpAddr;

use ipnet::IpNet;

use crate::value::Value;

/// "10.0.0.0/8" or "2001:db8::/32"; an address alone is a network of its own.
pub(crate) fn network(value: &Value<'_>) -> Option<IpNet> {
    const EXPECTED: &str = "a network like \"10.0.0.0/8\", or an IP address";
    let text = value.text(EXPECTED)?;
    let parsed = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let Some(network): Option<IpNet> = parsed else {
        return value.fail(value.error(format!("not a network: `{text}`")).expected(EXPECTED));
    };
    if network.trunc() != network {
        let meant = network.trunc();
        let error = value.error(format!("a network with bits behind its prefix: `{text}`"));
        return value.fail(error.expected(EXPECTED).hint(format!("did you mean \"{meant}\"?")));
    }
    Some(network)
}
