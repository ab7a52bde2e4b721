//! `address` of a listener

use std::net::SocketAddr;

use crate::scope::Unique;
use crate::value::Value;

pub(crate) fn read(value: &Value<'_>, taken: &Unique) -> Option<SocketAddr> {
    const EXPECTED: &str = "an IP address and a port, like \"127.0.0.1:8080\" or \"[::]:443\"";
    let text = value.text(EXPECTED)?;
    if let Ok(address) = text.parse::<SocketAddr>() {
        if address.port() != 0 {
            taken.claim(address.to_string(), value)?;
        }
        return Some(address);
    }
    let error = value.error(format!("not an address: `{text}`")).expected(EXPECTED);
    let hint = match text.rsplit_once(':') {
        Some(("", port)) => Some(format!("for every address of the machine, write \"0.0.0.0:{port}\"")),
        Some(("localhost", port)) => Some(format!("did you mean \"127.0.0.1:{port}\"?")),
        Some(("*", port)) => Some(format!("did you mean \"0.0.0.0:{port}\"?")),
        _ if text.contains("://") => Some("leave out what stands before `://`".to_owned()),
        _ if text.parse::<std::net::Ipv4Addr>().is_ok() => Some(format!("with a port: \"{text}:8080\"")),
        _ if text.parse::<std::net::Ipv6Addr>().is_ok() => Some(format!("with a port: \"[{text}]:8080\"")),
        _ => None,
    };
    value.fail(error.maybe_hint(hint))
}
