//! What is noted of an exchange while it is under way. Nothing, where nobody wants to know.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use http::{HeaderMap, StatusCode};
use limen_policy::Exchange;

use super::metrics::{KnownMethod, Labels, Scheme, UpstreamMeters};
use super::{Observers, access_log};
use crate::body::Upload;
use crate::upstream::Endpoint;

/// An exchange with somebody who watches it.
pub struct Watch {
    pub started: Instant,
    method: KnownMethod,
    scheme: Scheme,
    /// How much of the request's body has come; none if it has none.
    upload: Option<Rc<Upload>>,
    /// How often an upstream was asked.
    attempts: Cell<u32>,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// With all of its response.
    Complete,
    /// The client left, or the gateway closed its connection.
    #[default]
    Client,
    /// The upstream's answer broke off.
    Upstream,
}

/// What there is to tell of an exchange that has ended.
pub struct Ended<'a> {
    pub exchange: &'a Exchange,
    /// The number of its route.
    pub route: Option<usize>,
    /// Bytes of the response's body.
    pub sent: u64,
    pub end: End,
}

impl Watch {
    pub fn begin(observers: &Observers, exchange: &Exchange, upload: Option<Rc<Upload>>) -> Self {
        let method = KnownMethod::from(exchange.request.method());
        let scheme = if exchange.client.tls.is_some() { Scheme::Https } else { Scheme::Http };
        if let Some(meters) = &observers.meters {
            meters.begin(method, scheme);
        }
        Watch { started: Instant::now(), method, scheme, upload, attempts: Cell::new(0) }
    }

    /// Tells everybody. To be called once.
    pub fn end(&self, observers: &Observers, ended: &Ended<'_>) {
        let Ended { exchange, route, sent, end } = *ended;
        let time = self.started.elapsed();
        if let Some(meters) = &observers.meters {
            meters.end(self.method, self.scheme);
            let labels = Labels {
                method: self.method,
                status: Some(exchange.response.status()),
                scheme: self.scheme,
                error: end.error(),
                reason: exchange.reason,
                overflow: false,
            };
            let series = meters.route(route).get(labels);
            series.duration.record_time(time);
            series.request_size.record_size(self.received());
            series.response_size.record_size(sent);
        }
        if observers.access_log {
            access_log::write(exchange, time, sent, end == End::Complete);
        }
    }

    /// Bytes of the request's body.
    fn received(&self) -> u64 {
        self.upload.as_ref().map_or(0, |upload| upload.received())
    }
}

impl End {
    /// What `error.type` calls it; empty for none.
    fn error(self) -> &'static str {
        match self {
            End::Complete => "",
            End::Client => "client_closed",
            End::Upstream => "upstream_broken",
        }
    }
}

/// Where the attempts of an exchange at one upstream are noted.
#[derive(Clone, Copy)]
pub struct Attempts<'a> {
    observers: &'a Observers,
    watch: &'a Watch,
    meters: Option<&'a UpstreamMeters>,
}

/// One request on its way to one endpoint. Dropped without a word, it was given up.
pub struct Attempt<'a> {
    at: Attempts<'a>,
    started: Instant,
    outcome: Outcome,
}

enum Outcome {
    Open,
    Answered(StatusCode),
    /// What `error.type` calls it.
    Failed(&'static str),
}

impl<'a> Attempts<'a> {
    /// Those at the upstream of this number.
    pub fn at(observers: &'a Observers, watch: &'a Watch, upstream: usize) -> Self {
        let meters = observers.meters.as_ref().and_then(|meters| meters.upstream(upstream));
        Attempts { observers, watch, meters: meters.map(|meters| &**meters) }
    }

    /// Those of the same exchange at another upstream, which stands in.
    pub fn elsewhere(self, upstream: usize) -> Self {
        Self::at(self.observers, self.watch, upstream)
    }

    /// One begins. `headers` are those of the request as it goes to this endpoint.
    pub fn begin(self, _endpoint: &Endpoint, _headers: &mut HeaderMap) -> Attempt<'a> {
        self.watch.attempts.set(self.watch.attempts.get() + 1);
        Attempt { at: self, started: Instant::now(), outcome: Outcome::Open }
    }
}

impl Attempt<'_> {
    /// The head of the response is there.
    pub fn answer(attempt: Option<Self>, status: StatusCode) {
        if let Some(mut attempt) = attempt {
            attempt.outcome = Outcome::Answered(status);
        }
    }

    /// It came to nothing; `error` is one word of a short list, such as `connect` or `reset`.
    pub fn fail(attempt: Option<Self>, error: &'static str) {
        if let Some(mut attempt) = attempt {
            attempt.outcome = Outcome::Failed(error);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let (status, error) = match self.outcome {
            Outcome::Open => (None, "given_up"),
            Outcome::Answered(status) => (Some(status), ""),
            Outcome::Failed(error) => (None, error),
        };
        let Watch { method, scheme, .. } = *self.at.watch;
        if let Some(meters) = self.at.meters {
            let labels = Labels { method, status, scheme, error, reason: "", overflow: false };
            meters.get(labels).duration.record_time(self.started.elapsed());
        }
    }
}
