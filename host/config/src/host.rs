//! `host` of a route

use std::fmt;
use std::net::Ipv6Addr;

use crate::value::Value;

/// Which hosts a route answers for; never with a port, always in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// Any, or none at all.
    Any,
    /// "api.example.com"; an IPv6 address in its brackets.
    Exact(String),
    /// "*.example.com" as ".example.com": one or more labels before it.
    Wildcard(String),
}

impl Host {
    pub(crate) fn read(value: &Value<'_>) -> Option<Host> {
        const EXPECTED: &str = "a host name like \"api.example.com\" or \"*.example.com\"";
        let text = value.text(EXPECTED)?;
        let host = match text.strip_prefix("*.") {
            Some(suffix) => host_name(suffix).map(|suffix| Host::Wildcard(format!(".{suffix}"))),
            None => Host::name(&text).map(Host::Exact),
        };
        if host.is_some() {
            return host;
        }
        let hint = match text.as_str() {
            "" | "*" => Some("for any host, leave `host` out"),
            text if text.contains("://") || text.contains('/') => {
                Some("the host alone, without `http://` and path")
            }
            text if text.contains(':') => Some("without a port: a route is bound to a port by `listeners`"),
            text if text.contains('*') => Some("a `*` can only be the first label, as in \"*.example.com\""),
            text if !text.is_ascii() => Some("write an international name in its ASCII form, xn--..."),
            _ => None,
        };
        value.fail(
            value
                .error(format!("not a host name: `{text}`"))
                .expected(EXPECTED)
                .maybe_hint(hint.map(str::to_owned)),
        )
    }
}

impl Host {
    /// One host, by name or address, in lower case.
    pub(crate) fn name(text: &str) -> Option<String> {
        host_name(text).or_else(|| bracketed(text))
    }
}

impl fmt::Display for Host {
    /// As it would be written; nothing for any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Any => Ok(()),
            Host::Exact(name) => f.write_str(name),
            Host::Wildcard(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// A host name or an IPv4 address, in lower case.
pub(crate) fn host_name(text: &str) -> Option<String> {
    let label = |label: &str| {
        let letters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&label.len()) && letters && !label.starts_with('-') && !label.ends_with('-')
    };
    (text.len() <= 253 && text.split('.').all(label)).then(|| text.to_ascii_lowercase())
}

fn bracketed(text: &str) -> Option<String> {
    let address: Ipv6Addr = text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?;
    Some(format!("[{address}]"))
}
