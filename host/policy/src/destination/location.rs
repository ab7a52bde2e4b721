//! Where a client is sent.

use http::header::HeaderValue;
use limen_config::{Origin, OriginHost, RoutePath, Template};

use super::{Astray, HostTemplate, PathTemplate};
use crate::{Exchange, MAX_VALUE};

/// A path or a URL that is filled in from a request.
pub struct Location {
    origin: Option<Origin>,
    /// Of an origin whose host is computed.
    host: Option<HostTemplate>,
    path: PathTemplate,
    /// Whether the request's own query goes along.
    keeps_query: bool,
}

impl Location {
    /// `matched` is what the paths match that it is filled in from.
    pub fn new(to: &Template, matched: &RoutePath, keeps_query: bool) -> Self {
        let path = PathTemplate::new(&to.pieces, matched);
        Location { origin: to.origin.clone(), host: None, path, keeps_query }
    }

    /// One that may have expressions in it.
    pub fn computed(to: &Template, matched: &RoutePath, keeps_query: bool) -> Result<Self, String> {
        let path = PathTemplate::computed(&to.pieces, matched)?;
        let host = match &to.origin {
            Some(Origin { host: OriginHost::Computed(text), .. }) => Some(HostTemplate::with_end(text)?),
            _ => None,
        };
        Ok(Location { origin: to.origin.clone(), host, path, keeps_query })
    }

    /// The value of `Location`.
    pub fn of(&self, exchange: &Exchange, path: &str) -> Result<HeaderValue, Astray> {
        let mut location = String::with_capacity(64 + path.len());
        if let Some(Origin { scheme, host, port }) = &self.origin {
            location.push_str(scheme);
            match (host, &self.host) {
                (OriginHost::Literal(host), _) => location.push_str(host),
                (OriginHost::Computed(_), Some(host)) => location.push_str(&host.of(exchange)?),
                (OriginHost::Asked, _) => location.push_str(asked_host(exchange)?),
                (OriginHost::Computed(_), None) => return Err(Astray::Host), // the configuration has refused it
            }
            location.push_str(port);
        }
        let mut filled = String::with_capacity(32 + path.len());
        self.path.fill(exchange, path, &mut filled)?;
        if self.origin.is_none() {
            // Browsers read `//host` and `/\host` as another host (WHATWG URL, relative slash state).
            location.push('/');
            location.push_str(filled.trim_start_matches(['/', '\\']));
        } else {
            location.push_str(&filled);
        }
        if self.keeps_query
            && let Some(query) = exchange.request.uri().query()
        {
            location.push(if location.contains('?') { '&' } else { '?' });
            location.push_str(query);
        }
        if location.len() > MAX_VALUE {
            return Err(Astray::Unreadable);
        }
        HeaderValue::try_from(location).map_err(|_| Astray::Unreadable)
    }
}

/// The host that the client asked for, if it is nothing but one: it is about to stand in a URL.
fn asked_host(exchange: &Exchange) -> Result<&str, Astray> {
    let host = without_port(exchange.authority());
    let good =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if host.is_empty() || !host.bytes().all(good) {
        return Err(Astray::Host);
    }
    Ok(host)
}

/// The host of an authority.
pub fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}
