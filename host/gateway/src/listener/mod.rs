//! From a bound address to requests: accept, TLS, HTTP/1.1 or HTTP/2.
//!
//! ```text
//! accept      a permit for each connection, or it is closed at once
//! connection  own task > TLS handshake > which protocol > http1 or http2
//! io          the socket as hyper sees it, which tells the clock what moves
//! clock       how long the client may take for what it does now
//! ```

pub mod accept;
mod admission;
mod certificate_header;
mod clock;
pub mod connection;
mod counters;
pub mod door;
mod frames;
mod http1;
mod http2;
mod io;
mod redirect;
mod report;
pub mod socket;
pub mod tls;

use std::rc::Rc;
use std::sync::Arc;

use http::Request;
use limen_config::{ConfigError, HttpsRedirect, ListenerLimits};
use limen_policy::{Client, Thinned};

use crate::head::forwarded::Ends;
use crate::refusal::Fault;
use crate::worker::{Alive, Worker, World};
pub use certificate_header::CertificateHeader;
use clock::Clock;
pub use counters::{Counters, Trouble};
use door::Door;
use tls::Tls;

/// What a listener does with its connections, settled at load.
pub struct Terms {
    pub name: Arc<str>,
    pub limits: ListenerLimits,
    pub tls: Option<Tls>,
    redirect: Option<HttpsRedirect>,
    /// What goes on at this listener, over all workers and reloads.
    pub shared: Arc<Shared>,
    http1: hyper::server::conn::http1::Builder,
}

/// What the workers share of one listener: touched when a connection comes, goes or is refused.
#[derive(Default)]
pub struct Shared {
    pub counters: Counters,
    clients: admission::Clients,
    /// Lines about connections that were refused.
    reports: Thinned,
}

/// A connection, as its requests know it.
pub struct Connection {
    pub worker: Rc<Worker>,
    /// The listener that it came in by.
    pub door: Rc<Door>,
    pub client: Client,
    pub ends: Ends,
    /// What upstreams are told of the client's certificate.
    pub certificate: CertificateHeader,
    clock: Arc<Clock>,
    /// As long as this is held, the worker waits before it ends.
    _alive: Alive,
}

impl Connection {
    /// The world that a request which begins now lives in, and the number of its listener there: the
    /// worker's own, or where that has lost the listener the last one that had it.
    pub fn world(&self) -> (Rc<World>, usize) {
        self.door.world(&self.worker)
    }
}

impl Terms {
    /// Reads what the listener's section names. What can go on from the `previous` terms goes on.
    pub fn build(listener: &limen_config::Listener, previous: Option<&Terms>) -> Result<Terms, ConfigError> {
        // Without `..`: a new key has to say here what it means.
        let limen_config::Listener { address: _, name, tls, redirect, limits, place: _ } = listener;
        let before = previous.and_then(|previous| previous.tls.as_ref());
        Ok(Terms {
            name: name.as_str().into(),
            limits: *limits,
            tls: tls.as_ref().map(|tls| Tls::build(tls, before)).transpose()?,
            redirect: *redirect,
            shared: previous.map(|previous| previous.shared.clone()).unwrap_or_default(),
            http1: http1::builder(limits),
        })
    }

    /// Refuses what this listener does not take.
    pub fn check(&self, head: &Request<()>) -> Result<(), Fault> {
        let target = head.uri().path_and_query().map_or(0, |target| target.as_str().len());
        if target as u64 > self.limits.target {
            return Err(Fault::target_too_long(self.limits.target));
        }
        if head.headers().len() > self.limits.headers {
            return Err(Fault::too_many_headers(self.limits.headers));
        }
        Ok(())
    }

    /// Where a request is sent that this listener only redirects.
    pub fn redirect(&self, head: &Request<()>) -> Option<Fault> {
        self.redirect.map(|redirect| redirect::to_https(redirect, head))
    }
}
