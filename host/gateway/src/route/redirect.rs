//! Routes that send a client elsewhere.

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use limen_config::{Origin, RedirectQuery, RoutePath};
use limen_policy::Exchange;

use super::table::without_port;
use super::template::Template;
use crate::refusal::Fault;

pub struct Redirect {
    origin: Option<Origin>,
    path: Template,
    status: StatusCode,
    query: RedirectQuery,
}

impl Redirect {
    pub fn new(redirect: &limen_config::Redirect, route: &RoutePath) -> Self {
        let limen_config::Redirect { to, status, query } = redirect;
        let path = Template::new(&to.pieces, route);
        Redirect { origin: to.origin.clone(), path, status: *status, query: *query }
    }

    /// The answer's head; it has no body.
    pub fn answer(&self, exchange: &Exchange) -> Result<Response<()>, Fault> {
        let location = HeaderValue::try_from(self.location(exchange)?);
        let mut head = Response::new(());
        *head.status_mut() = self.status;
        let location = location.map_err(|_| Fault::bad_request("The path can't be read."))?;
        head.headers_mut().insert(header::LOCATION, location);
        Ok(head)
    }

    fn location(&self, exchange: &Exchange) -> Result<String, Fault> {
        let path = exchange.matched_path().unwrap_or_else(|| exchange.request.uri().path());
        let mut location = String::with_capacity(64 + path.len());
        if let Some(Origin { scheme, host, port }) = &self.origin {
            location.push_str(scheme);
            match host {
                Some(host) => location.push_str(host),
                None => location.push_str(asked_host(exchange)?),
            }
            location.push_str(port);
        }
        let mut filled = String::with_capacity(32 + path.len());
        self.path.fill(path, &mut filled);
        if self.origin.is_none() {
            // Browsers read `//host` and `/\host` as another host (WHATWG URL, relative slash state).
            location.push('/');
            location.push_str(filled.trim_start_matches(['/', '\\']));
        } else {
            location.push_str(&filled);
        }
        if self.query == RedirectQuery::Keep
            && let Some(query) = exchange.request.uri().query()
        {
            location.push(if location.contains('?') { '&' } else { '?' });
            location.push_str(query);
        }
        Ok(location)
    }
}

/// The host that the client asked for, if it is nothing but one: it is about to stand in a URL.
fn asked_host(exchange: &Exchange) -> Result<&str, Fault> {
    let host = without_port(exchange.authority());
    let good =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    if host.is_empty() || !host.bytes().all(good) {
        return Err(Fault::bad_request("The host is none."));
    }
    Ok(host)
}
