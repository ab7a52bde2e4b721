//! One of `endpoints` of an upstream

use std::net::Ipv6Addr;

use crate::host::host_name;
use crate::value::{Value, choice, integer};
use crate::{ConfigError, Place};

use super::balance::table_of;

/// One server, "http://host:port" or `{ url = "http://host:port", weight = 2, priority = 1 }`. With
/// "https://host:port" it is spoken to over TLS. The port is 80 or 443 when it is left out.
#[derive(Debug, Clone)]
pub struct Endpoint {
    pub scheme: Scheme,
    /// A name or an IP address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
    pub lookup: Lookup,
    /// `weight`: how many requests it gets in comparison with others, 1 to 1000. Default 1.
    pub weight: u32,
    /// `priority`: which group it is in, 0 to 99; default 0. Requests go to the group with the lowest
    /// number. When less than 5/7 of its endpoints are healthy, a part of them goes to the next group:
    /// a group carries 1.4 times its healthy share (Envoy's overprovisioning), and no more than all.
    pub priority: u32,
    /// Where it stands in the file.
    pub place: Place,
}

/// What an endpoint is spoken to over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

/// What its host stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// An address, or a name with addresses.
    Host,
    /// `{ srv = "_http._tcp.users.internal" }`: a service whose hosts, ports, priorities and weights DNS
    /// tells (RFC 2782). `weight` multiplies theirs; within one `priority`, theirs decides. With
    /// `scheme = "https"` it is spoken to over TLS.
    Service,
}

impl Endpoint {
    pub(super) fn read(value: &Value<'_>) -> Option<Endpoint> {
        let Some(section) = table_of(value) else {
            let (scheme, host, port) = url(value)?;
            let (lookup, weight, priority) = (Lookup::Host, 1, 0);
            return Some(Endpoint { scheme, host, port, lookup, weight, priority, place: value.place() });
        };
        let written = match section.optional("srv", service) {
            Some(None) => {
                section.required("url", url).map(|(scheme, host, port)| (scheme, host, port, Lookup::Host))
            }
            srv => {
                if let Some(url) = section.get("url") {
                    return url.fail(url.error("an endpoint with `srv` and `url`").expected("one of them"));
                }
                let scheme = section.or("scheme", choice(SCHEMES), Scheme::Http);
                srv.flatten().zip(scheme).map(|(name, scheme)| (scheme, name, 0, Lookup::Service))
            }
        };
        let weight = section.or("weight", integer(1..=1000), 1);
        let priority = section.or("priority", integer(0..=99), 0);
        section.finish();
        let (scheme, host, port, lookup) = written?;
        let (weight, priority) = (u32::try_from(weight?).ok()?, u32::try_from(priority?).ok()?);
        Some(Endpoint { scheme, host, port, lookup, weight, priority, place: value.place() })
    }
}

fn service(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of a service, like \"_http._tcp.users.internal\"";
    let text = value.text(EXPECTED)?;
    match host_name(&text).filter(|name| name.contains('.')) {
        Some(name) => Some(name),
        None => value.fail(value.error(format!("not the name of a service: `{text}`")).expected(EXPECTED)),
    }
}

const SCHEMES: &[(&str, Scheme)] = &[("http", Scheme::Http), ("https", Scheme::Https)];

const EXPECTED: &str = "an address like \"http://127.0.0.1:9001\" or \"http://users.internal\"";

fn url(value: &Value<'_>) -> Option<(Scheme, String, u16)> {
    let text = value.text(EXPECTED)?;
    match parse(&text) {
        Ok(url) => Some(url),
        Err(wrong) => value.fail(wrong(value, &text)),
    }
}

type Wrong = fn(&Value<'_>, &str) -> ConfigError;

fn parse(text: &str) -> Result<(Scheme, String, u16), Wrong> {
    let (scheme, authority) = if let Some(authority) = text.strip_prefix("http://") {
        (Scheme::Http, authority)
    } else if let Some(authority) = text.strip_prefix("https://") {
        (Scheme::Https, authority)
    } else {
        return Err(|value, text| {
            let hint = match text.contains("://") {
                true => "only `http://` and `https://` are supported".to_owned(),
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
            let end = text.char_indices().skip("https://".len()).find(|(_, c)| matches!(c, '/' | '?' | '#'));
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
        None if scheme == Scheme::Https => 443,
        None => 80,
        Some(port) => {
            port.parse().ok().filter(|port| *port != 0 && digits(text)).ok_or(not_a_port as Wrong)?
        }
    };
    Ok((scheme, host, port))
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
