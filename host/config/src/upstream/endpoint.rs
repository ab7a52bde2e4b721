//! One of `endpoints` of an upstream

use std::net::Ipv6Addr;

use crate::host::host_name;
use crate::value::Value;
use crate::{ConfigError, Place};

/// One server, "http://host:port". The port is 80 when it is left out.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// A name or an IP address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
    /// Where it stands in the file.
    pub place: Place,
}

impl Endpoint {
    pub(super) fn read(value: &Value<'_>) -> Option<Endpoint> {
        let text = value.text(EXPECTED)?;
        match parse(&text) {
            Ok((host, port)) => Some(Endpoint { host, port, place: value.place() }),
            Err(wrong) => value.fail(wrong(value, &text)),
        }
    }
}

const EXPECTED: &str = "an address like \"http://127.0.0.1:9001\" or \"http://users.internal\"";

type Wrong = fn(&Value<'_>, &str) -> ConfigError;

fn parse(text: &str) -> Result<(String, u16), Wrong> {
    if text.starts_with("https://") {
        return Err(|value, _| {
            value
                .error("https upstreams are not supported yet")
                .expected("an `http://` address")
                .hint("use `http://` on a network you trust, or a local TLS proxy")
        });
    }
    let Some(authority) = text.strip_prefix("http://") else {
        return Err(|value, text| {
            let hint = match text.contains("://") {
                true => "only `http://` is supported".to_owned(),
                false => format!("did you mean \"http://{text}\"?"),
            };
            value.error(format!("an endpoint without `http://`: `{text}`")).expected(EXPECTED).hint(hint)
        });
    };
    if authority.contains('@') {
        return Err(|value, _| value.error("user and password in an endpoint").expected(EXPECTED));
    }
    if authority.contains(['/', '?', '#']) {
        return Err(|value, text| {
            let end = text.char_indices().skip("http://".len()).find(|(_, c)| matches!(c, '/' | '?' | '#'));
            let bare = end.and_then(|(at, _)| text.get(..at)).unwrap_or(text);
            value
                .error(format!("an endpoint with a path or query: `{text}`"))
                .expected("host and port only; the path is the request's")
                .hint(format!("did you mean \"{bare}\"?"))
        });
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(not_a_host as Wrong)?;
            let host = host.parse::<Ipv6Addr>().map_err(|_| not_a_host as Wrong)?;
            (
                host.to_string(),
                if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or(not_a_host as Wrong)?) },
            )
        }
        None => {
            let (host, port) =
                authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            (host_name(host).ok_or(not_a_host as Wrong)?, port)
        }
    };
    let port = match port {
        None => 80,
        Some(port) => {
            port.parse().ok().filter(|port| *port != 0 && digits(text)).ok_or(not_a_port as Wrong)?
        }
    };
    Ok((host, port))
}

/// `parse` takes a sign as well.
fn digits(text: &str) -> bool {
    text.ends_with(|c: char| c.is_ascii_digit()) && !text.contains('+')
}

fn not_a_host(value: &Value<'_>, text: &str) -> ConfigError {
    value.error(format!("not a host name or IP address: `{text}`")).expected(EXPECTED)
}

fn not_a_port(value: &Value<'_>, text: &str) -> ConfigError {
    value.error(format!("not a port: `{text}`")).expected("a port from 1 to 65535 after the host")
}
