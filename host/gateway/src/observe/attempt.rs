//! What is noted of a request at its upstreams: for those who watch exchanges, and for policies.

use std::cell::{Cell, RefCell};
use std::fmt::Write;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use limen_policy::Went;

use super::metrics::{Labels, UpstreamMeters};
use super::trace::{Traced, TracedAttempt, Tracer};
use super::{Observers, Watch};
use crate::upstream::Endpoint;

/// Who wants to know of it.
#[derive(Clone, Copy)]
pub struct Notes<'a> {
    pub watch: Option<&'a Watch>,
    /// Only where a policy asks.
    pub track: Option<&'a Track>,
}

/// What policies may know of the way to the upstream.
#[derive(Default)]
pub struct Track {
    attempts: Cell<u32>,
    connect: Cell<Option<Duration>>,
    /// The one that has answered, or else the last that was asked.
    endpoint: RefCell<Option<String>>,
}

/// Where the attempts of an exchange at one upstream are noted.
#[derive(Clone, Copy)]
pub struct Attempts<'a> {
    watched: Option<Watched<'a>>,
    track: Option<&'a Track>,
}

#[derive(Clone, Copy)]
struct Watched<'a> {
    observers: &'a Observers,
    watch: &'a Watch,
    /// The number of the upstream.
    upstream: usize,
    meters: Option<&'a UpstreamMeters>,
}

/// One request on its way to one endpoint. Dropped without a word, it was given up.
pub struct Attempt<'a> {
    at: Attempts<'a>,
    started: Instant,
    /// Which of the exchange's attempts it is, counted from 1.
    number: u32,
    /// How long it waited for a connection of its own.
    connect: Option<Duration>,
    /// In a box: it is part of the future of every request, and rare.
    traced: Option<Box<TracedAttempt>>,
    outcome: Outcome,
}

enum Outcome {
    Open,
    Answered(StatusCode),
    /// What `error.type` calls it.
    Failed(&'static str),
}

impl Track {
    pub fn end(self) -> Went {
        let Track { attempts, connect, endpoint } = self;
        Went { attempts: attempts.get(), connect: connect.get(), endpoint: endpoint.into_inner() }
    }
}

impl<'a> Attempts<'a> {
    /// Those at the upstream of this number; none if nobody wants to know.
    pub fn at(observers: Option<&'a Observers>, notes: Notes<'a>, upstream: usize) -> Option<Self> {
        let Notes { watch, track } = notes;
        let watched = observers.zip(watch).map(|(observers, watch)| Watched::at(observers, watch, upstream));
        (watched.is_some() || track.is_some()).then_some(Attempts { watched, track })
    }

    /// Those of the same exchange at another upstream, which stands in.
    pub fn elsewhere(self, upstream: usize) -> Self {
        let at = |watched: Watched<'a>| Watched::at(watched.observers, watched.watch, upstream);
        Attempts { watched: self.watched.map(at), ..self }
    }

    /// One begins. `headers` are those of the request as it goes to this endpoint.
    pub fn begin(self, endpoint: &Endpoint, headers: &mut HeaderMap) -> Attempt<'a> {
        if let Some(track) = self.track {
            track.attempts.set(track.attempts.get().saturating_add(1));
            *track.endpoint.borrow_mut() = Some(endpoint.address.to_string());
        }
        let (number, traced) = self.watched.map_or((0, None), |watched| watched.begin(endpoint, headers));
        let outcome = Outcome::Open;
        Attempt { at: self, started: Instant::now(), number, connect: None, traced, outcome }
    }
}

impl<'a> Watched<'a> {
    fn at(observers: &'a Observers, watch: &'a Watch, upstream: usize) -> Self {
        let meters = observers.meters.as_ref().and_then(|meters| meters.upstream(upstream));
        Watched { observers, watch, upstream, meters: meters.map(|meters| &**meters) }
    }

    fn begin(self, endpoint: &Endpoint, headers: &mut HeaderMap) -> (u32, Option<Box<TracedAttempt>>) {
        let watch = self.watch;
        watch.attempts.set(watch.attempts.get() + 1);
        watch.upstream.set(Some(self.upstream));
        if let Some(detail) = &watch.detail {
            let mut text = detail.endpoint.borrow_mut();
            text.clear();
            // Writing into memory does not fail.
            let _ = write!(text, "{}", endpoint.address);
        }
        let traced =
            self.tracing().map(|(tracer, traced)| Box::new(tracer.attempt(traced, endpoint, headers)));
        (watch.attempts.get(), traced)
    }

    fn tracing(self) -> Option<(&'a Tracer, &'a Traced)> {
        self.observers.tracer.as_deref().zip(self.watch.traced.as_deref())
    }
}

impl Attempt<'_> {
    /// It has a connection, which was made for it.
    pub fn connected(attempt: &mut Option<Self>) {
        if let Some(attempt) = attempt {
            attempt.connect = Some(attempt.started.elapsed());
        }
    }

    /// The head of the response is there.
    pub fn answer(attempt: Option<Self>, endpoint: &Endpoint, status: StatusCode) {
        let Some(mut attempt) = attempt else { return };
        attempt.outcome = Outcome::Answered(status);
        if let Some(Watched { watch, .. }) = attempt.at.watched
            && let Some(detail) = &watch.detail
        {
            detail.upstream_time.set(Some(watch.started.elapsed()));
        }
        if let Some(track) = attempt.at.track {
            track.connect.set(attempt.connect);
            *track.endpoint.borrow_mut() = Some(endpoint.address.to_string());
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
        let Some(watched) = self.at.watched else { return };
        let (status, error) = match self.outcome {
            Outcome::Open => (None, "given_up"),
            Outcome::Answered(status) => (Some(status), ""),
            Outcome::Failed(error) => (None, error),
        };
        let Watch { method, scheme, .. } = *watched.watch;
        if let (Some(attempt), Some((tracer, traced))) = (self.traced.take(), watched.tracing()) {
            tracer.attempted(traced, *attempt, method, (status, error), self.number, self.started);
        }
        if let Some(meters) = watched.meters {
            let labels = Labels { method, status, scheme, error, reason: "", overflow: false };
            meters.get(labels).duration.record_time(self.started.elapsed());
        }
    }
}
