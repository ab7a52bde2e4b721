//! Routes that send a client elsewhere.

use http::Response;
use http::StatusCode;
use http::header;
use limen_config::{RedirectQuery, RoutePath};
use limen_policy::{Exchange, Location};

use crate::refusal::Fault;

pub struct Redirect {
    to: Location,
    status: StatusCode,
}

impl Redirect {
    pub fn new(redirect: &limen_config::Redirect, route: &RoutePath) -> Self {
        let limen_config::Redirect { to, status, query } = redirect;
        let to = Location::new(to, route, *query == RedirectQuery::Keep);
        Redirect { to, status: *status }
    }

    /// The answer's head; it has no body.
    pub fn answer(&self, exchange: &Exchange) -> Result<Response<()>, Fault> {
        let path = exchange.matched_path().unwrap_or_else(|| exchange.request.uri().path());
        let location = self.to.of(exchange, path).map_err(|astray| Fault::bad_request(astray.detail()))?;
        let mut head = Response::new(());
        *head.status_mut() = self.status;
        head.headers_mut().insert(header::LOCATION, location);
        Ok(head)
    }
}
