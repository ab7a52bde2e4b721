//! Networks of addresses: "10.0.0.0/8", "2001:db8::/32", or one address

use std::net::IpAddr;

use ipnet::IpNet;

use crate::value::Value;

pub(crate) fn network(value: &Value<'_>) -> Option<IpNet> {
    const EXPECTED: &str = "a network like \"10.0.0.0/8\" or an address like \"::1\"";
    let text = value.text(EXPECTED)?;
    let network = text.parse::<IpAddr>().map(IpNet::from).ok().or_else(|| text.parse().ok());
    match network {
        Some(network) if network.addr() == network.network() => Some(network),
        Some(network) => {
            let error = value.error(format!("an address within a network: `{text}`")).expected(EXPECTED);
            value.fail(error.hint(format!("did you mean \"{}\"?", network.trunc())))
        }
        None => value.fail(value.error(format!("not a network: `{text}`")).expected(EXPECTED)),
    }
}
