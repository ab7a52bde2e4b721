//! Hosts that are filled in from a request.

use super::Astray;
use crate::Exchange;
use crate::native::expression::{Stage, Template};

/// The longest name, and the longest part of one (RFC 1035, section 2.3.4).
const LONGEST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A host with expressions in it, and with or without a port: `"{claims.tenant}.internal:8443"`.
#[derive(Debug)]
pub struct HostTemplate(Template);

impl HostTemplate {
    pub fn new(text: &str) -> Result<Self, String> {
        let template = Template::new(text, Stage::Request)?;
        match is_authority(&template.sample("x")) {
            true => Ok(HostTemplate(template)),
            false => Err(format!("not a host: `{text}`")),
        }
    }

    /// One that clients are sent to: its end is written, so that no request decides whose host it is.
    pub fn with_end(text: &str) -> Result<Self, String> {
        let host = HostTemplate::new(text)?;
        match host.0.end().strip_prefix('.').is_some_and(is_domain) {
            true => Ok(host),
            false => Err(format!(
                "a request decides where the host ends: `{text}`; behind its last expression comes a domain of \
                 yours, as in `{{claims.region}}.example.com`"
            )),
        }
    }

    /// The host for an exchange. What an expression comes to is nothing but a part of a name: no port, no user and no
    /// path.
    pub fn of(&self, exchange: &Exchange) -> Result<String, Astray> {
        let host = self.0.fill(exchange, |host, value| {
            let value = value?;
            if value.is_empty() || !value.bytes().all(is_of_name) {
                return Err("what an expression in a host comes to is no part of one".to_owned());
            }
            host.push_str(&value);
            Ok(())
        });
        let host = host.map_err(Astray::Valueless)?;
        match is_authority(&host) {
            true => Ok(host),
            false => Err(Astray::Valueless("no host comes of its expressions".to_owned())),
        }
    }
}

/// A name, and a port if there is one.
fn is_authority(text: &str) -> bool {
    let (name, port) = text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port)));
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let is_label = |label: &str| (1..=LONGEST_LABEL).contains(&label.len()) && label.bytes().all(is_of_name);
    name.len() <= LONGEST && name.split('.').all(is_label) && port.is_none_or(is_port)
}

/// A name that no part before it makes an address: browsers read `10.0.0.1` of any host whose last label is a number.
fn is_domain(name: &str) -> bool {
    is_authority(name)
        && !name.contains(':')
        && name.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()))
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_written_around_its_expressions() {
        for good in ["{request.id}", "a-{request.id}.example.com:8443", "{request.id}{request.path}.x"] {
            assert!(HostTemplate::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".{request.id}",
            "{request.id}.",
            "{request.id}:",
            "{request.id}:0",
            "{request.id}:+80",
            "{request.id}:65536",
            "a:{request.id}",
            "{request.id}:1:2",
            "u@{request.id}",
            "[{request.id}]",
            "{request.id}/x",
            "{{{request.id}",
        ] {
            assert!(HostTemplate::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn where_clients_are_sent_ends_as_it_is_written() {
        for good in [
            "{request.id}.example.com",
            "a-{request.id}{request.path}.internal",
            "{request.id}.{request.id}.x1",
        ] {
            assert!(HostTemplate::with_end(good).is_ok(), "{good}");
        }
        for bad in [
            "{request.id}",
            "www.{request.id}",
            "{request.id}example.com",
            "{request.id}-a.example.com",
            "{request.id}.example.{request.id}",
            "{request.id}.example.com:80",
            "{request.id}.0.0.1",
            "{request.id}.0x1",
            "{request.id}.example.com.",
        ] {
            assert!(HostTemplate::with_end(bad).is_err(), "{bad}");
        }
    }
}
