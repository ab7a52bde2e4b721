//! What is noted of an exchange while it is under way. Nothing, where nobody wants to know.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response, StatusCode};
use limen_policy::{Call, Client, Exchange, Hook};

use super::Observers;
use super::access_log::AccessLog;
use super::detail::Detail;
use super::metrics::{KnownMethod, Labels, Scheme};
use super::trace::Traced;
use super::trace::context::TraceId;
use crate::body::{StreamError, Upload};
use crate::pipeline::Pipeline;
use crate::snapshot::Snapshot;

/// An exchange with somebody who watches it.
pub struct Watch {
    pub(super) started: Instant,
    /// The number of its listener.
    listener: usize,
    /// No client waits for it: it goes on behind an answer.
    is_background: bool,
    pub(super) method: KnownMethod,
    pub(super) scheme: Scheme,
    /// How much of the request's body has come; none if it has none.
    upload: Option<Rc<Upload>>,
    /// What the client has sent in another protocol.
    tunnelled: u64,
    /// None if there was no answer yet.
    status: Cell<Option<StatusCode>>,
    /// How often an upstream was asked, and which one at last.
    pub(super) attempts: Cell<u32>,
    pub(super) upstream: Cell<Option<usize>>,
    /// Somebody asks what policies did.
    wants_hooks: bool,
    /// None if only metrics want to know.
    pub(super) detail: Option<Box<Detail>>,
    /// None without `[trace]`.
    pub(super) traced: Option<Box<Traced>>,
}

/// A request that has just arrived.
pub struct Arrived<'a> {
    /// The number of the listener that it came in by.
    pub listener: usize,
    pub client: &'a Client,
    pub head: &'a Request<()>,
    pub upload: Option<Rc<Upload>>,
}

/// What is known of an exchange at its end.
pub struct Last<'a> {
    pub exchange: &'a Exchange,
    /// The number of its route.
    pub route: Option<usize>,
    /// Bytes of the response's body.
    pub sent: u64,
    pub end: End,
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
    /// A policy broke it off.
    Policy,
}

/// Whether somebody who reads the log has been told why an exchange was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Not,
    /// In the line of the access log.
    Already,
}

/// What there is to tell of an exchange that has ended.
pub struct Ended<'a> {
    pub exchange: &'a Exchange,
    /// None if it matched no route.
    pub pipeline: Option<&'a Pipeline>,
    pub listener: &'a str,
    /// The pattern of its route; empty if it matched none.
    pub path: &'a str,
    pub is_background: bool,
    pub trace: Option<TraceId>,
    /// The last that was asked; empty if none was.
    pub upstream: &'a str,
    pub attempts: u32,
    /// None if there was no answer.
    pub status: Option<StatusCode>,
    /// Bytes of the bodies.
    pub received: u64,
    pub sent: u64,
    pub end: End,
    pub time: Duration,
}

impl<'a> Ended<'a> {
    /// What policies did, each with its name.
    pub fn hooks(&self) -> impl Iterator<Item = (&'a str, &'a Hook)> {
        let (exchange, pipeline) = (self.exchange, self.pipeline);
        let hooks = exchange.hooks.iter().flat_map(|hooks| hooks.iter());
        hooks.map(move |hook| (pipeline.map_or("", |pipeline| pipeline.name(hook.policy)), hook))
    }
}

impl Watch {
    pub fn begin(observers: &Observers, arrived: Arrived<'_>) -> Self {
        let watch = Watch::new(observers, arrived, false);
        if let Some(meters) = &observers.meters {
            meters.begin(watch.method, watch.scheme);
        }
        watch
    }

    /// Watches what goes on behind the answer of this exchange.
    pub fn behind(&self, observers: &Observers, exchange: &Exchange) -> Self {
        let Exchange { client, request: head, .. } = exchange;
        Watch::new(observers, Arrived { listener: self.listener, client, head, upload: None }, true)
    }

    fn new(observers: &Observers, arrived: Arrived<'_>, is_background: bool) -> Self {
        let Arrived { listener, client, head, upload } = arrived;
        let method = KnownMethod::from(head.method());
        let scheme = if client.tls.is_some() { Scheme::Https } else { Scheme::Http };
        let started = Instant::now();
        let log = observers.access_log.as_ref().map(|recorder| &*recorder.log);
        let traced = observers.tracer.as_ref().map(|tracer| Box::new(tracer.begin(head, started)));
        let is_traced = traced.as_ref().is_some_and(|traced| traced.sampled);
        let wants_detail = log.is_some() || is_traced;
        let is_sampled = observers.meters.as_ref().is_some_and(|meters| meters.times_hooks());
        let wants_hooks = is_sampled || is_traced || log.is_some_and(AccessLog::tells_policies);
        Watch {
            started,
            listener,
            is_background,
            method,
            scheme,
            upload,
            tunnelled: 0,
            status: Cell::default(),
            attempts: Cell::new(0),
            upstream: Cell::default(),
            wants_hooks,
            detail: wants_detail.then(|| Detail::note(head, log)),
            traced,
        }
    }

    /// Watches a call of a policy: its attempts are noted like those of an exchange.
    pub fn of_call(observers: &Observers, call: &Call) -> Self {
        let (started, head) = (Instant::now(), &call.request);
        let traced = observers.tracer.as_ref();
        let traced = traced.and_then(|tracer| tracer.call(call.hook, head.headers(), started));
        Watch {
            started,
            listener: 0,
            is_background: false,
            method: KnownMethod::from(head.method()),
            scheme: if call.client.tls.is_some() { Scheme::Https } else { Scheme::Http },
            upload: None,
            tunnelled: 0,
            status: Cell::default(),
            attempts: Cell::new(0),
            upstream: Cell::default(),
            wants_hooks: false,
            detail: None,
            traced: traced.map(Box::new),
        }
    }

    /// Whether somebody asks what policies did.
    pub fn wants_hooks(&self) -> bool {
        self.wants_hooks
    }

    /// Names the exchange as the parent of what its policies ask for themselves.
    pub fn introduce(&self, observers: &Observers, headers: &mut HeaderMap) {
        if let (Some(tracer), Some(traced)) = (&observers.tracer, &self.traced) {
            tracer.introduce(traced, headers);
        }
    }

    /// The answer is there, as the client gets it.
    pub fn answered(&self, observers: &Observers, head: &Response<()>) {
        self.status.set(Some(head.status()));
        if let Some(detail) = &self.detail {
            let log = observers.access_log.as_ref().map(|recorder| &*recorder.log);
            detail.answered(head.headers(), log);
        }
    }

    /// Tells everybody; and whether the log knows all now. To be called once.
    pub fn end(&self, snapshot: &Snapshot, observers: &Observers, last: &Last<'_>) -> Told {
        let Last { exchange, route, sent, end } = *last;
        let (time, status, received) = (self.started.elapsed(), self.status.get(), self.received());
        if let Some(meters) = &observers.meters {
            let labels = Labels {
                method: self.method,
                status,
                scheme: self.scheme,
                error: end.error(),
                reason: exchange.reason,
                overflow: false,
            };
            let of_route = meters.route(route);
            if self.is_background {
                of_route.background.get(labels).duration.record_time(time);
            } else {
                meters.end(self.method, self.scheme);
                let series = of_route.exchanges.get(labels);
                series.duration.record_time(time);
                series.request_size.record_size(received);
                series.response_size.record_size(sent);
            }
            let pipeline = route.and_then(|number| Some(&snapshot.routes.get(number)?.pipeline));
            for decision in &exchange.decisions {
                let policy = pipeline.map_or("", |pipeline| pipeline.name(decision.policy));
                of_route.decisions.count(policy, decision.outcome.name(), decision.reason);
            }
            if let Some(hooks) = &exchange.hooks {
                of_route.hooks.record(hooks, |policy| pipeline.map_or("", |pipeline| pipeline.name(policy)));
            }
        }
        let Some(detail) = &self.detail else { return Told::Not };
        let route = route.and_then(|number| snapshot.routes.get(number));
        let ended = Ended {
            exchange,
            pipeline: route.map(|route| &route.pipeline),
            listener: snapshot.listeners.get(self.listener).map_or("", |listener| &listener.terms.name),
            path: route.map_or("", |route| &route.path),
            is_background: self.is_background,
            trace: self.traced.as_ref().map(|traced| traced.trace),
            upstream: self.upstream.get().map_or("", |number| snapshot.upstream_name(number)),
            attempts: self.attempts.get(),
            status,
            received,
            sent,
            end,
            time,
        };
        let recorder = observers.access_log.as_ref();
        let told = recorder.map_or(Told::Not, |recorder| recorder.write(&ended, detail));
        if let (Some(tracer), Some(traced)) = (&observers.tracer, &self.traced) {
            tracer.hooks(traced, &ended);
            tracer.end(traced, &ended, detail);
        }
        told
    }

    /// The client and the upstream went on in another protocol, and this came from the client.
    pub fn tunnelled(&mut self, bytes: u64) {
        self.tunnelled = bytes;
    }

    /// Bytes of the request's body, or of what came after the request in another protocol.
    fn received(&self) -> u64 {
        self.tunnelled + self.upload.as_ref().map_or(0, |upload| upload.received())
    }
}

impl End {
    /// With this error in the response's body.
    pub fn of(error: &StreamError) -> Self {
        match error {
            StreamError::Policy | StreamError::Source(_) => End::Policy,
            _ => End::Upstream,
        }
    }

    /// What `error.type` calls it; empty for none.
    fn error(self) -> &'static str {
        match self {
            End::Complete => "",
            End::Client => "client_closed",
            End::Upstream => "upstream_broken",
            End::Policy => "policy_failed",
        }
    }
}
