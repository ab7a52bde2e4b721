//! `redirect` of a listener

use super::Tls;
use crate::section::Section;
use crate::value::Value;

/// Where requests in clear text are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpsRedirect {
    pub port: u16,
}

const EXPECTED: &str = "\"https\", or with a port: \"https:8443\"";

/// `tls` is what was read of the listener's own: a TLS listener would redirect to itself.
pub(super) fn read(section: &Section<'_>, tls: Option<&Option<Tls>>) -> Option<Option<HttpsRedirect>> {
    let redirect = section.optional("redirect", parse)?;
    if redirect.is_some() && tls.is_some_and(Option::is_some) {
        let value = section.get("redirect")?;
        return value.fail(
            value
                .error("a `redirect` to https on a listener that speaks TLS itself")
                .expected("`redirect` on a listener without `tls`")
                .hint("one listener with `tls`, and another without it that redirects"),
        );
    }
    Some(redirect)
}

fn parse(value: &Value<'_>) -> Option<HttpsRedirect> {
    let text = value.text(EXPECTED)?;
    let port = match text.strip_prefix("https") {
        Some("") => Some(443),
        Some(rest) => rest
            .strip_prefix(':')
            .filter(|port| port.bytes().all(|digit| digit.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .filter(|port| *port != 0),
        None => None,
    };
    match port {
        Some(port) => Some(HttpsRedirect { port }),
        None => value.fail(value.error(format!("not a redirect: `{text}`")).expected(EXPECTED)),
    }
}
