//! The policies of a route: forwards on requests, backwards on responses.
//!
//! ```text
//! Policies  asks one of them, and does what its answer means
//! Case      an exchange and what its policies keep of it: what a hook is called with
//! Desk      where the case lies while bodies stream and attempts are made beside the exchange's course
//! Stream    a body that goes through a policy piece by piece
//! Tries     the attempts at an upstream that policies see
//! ```
//!
//! Without policies that stream or see attempts there is no desk: hooks are called in the course of the
//! exchange, one after the other.

mod case;
mod policies;
mod stream;
mod tries;

use std::rc::Rc;

use bytes::Bytes;
use http::header;
use http::{HeaderMap, Method, StatusCode};
use limen_policy::{
    Exchange, Failure, FailureKind, Phase, Phases, Policy, QuotaUsage, SPEAKS_OF_THE_BODY, Side, Verdict,
};

use crate::body::{CollectError, RequestBody, ResponseBody, Whole};
use crate::head;
use crate::refusal::{self, Fault};

pub use case::{Case, Desk, Place};
pub use policies::{Attached, Policies};
pub use tries::{Answered, Tries};

use stream::Stream;

/// The ordered policies of a route.
#[derive(Default)]
pub struct Pipeline {
    policies: Policies,
    phases: Phases,
    /// Some policy looks at the request's headers when they have gone on.
    looks_back: bool,
    /// Some policy keeps something until the exchange has ended.
    holds_on: bool,
}

/// What the request phases came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    Forward,
    /// The answer is in the exchange.
    Answered,
}

impl Pipeline {
    pub fn new(policies: Vec<Attached>) -> Self {
        let phases = policies.iter().flat_map(|attached| attached.policy.phases().iter()).collect();
        let looks_back = |policy: &dyn Policy| is_asked_later(policy.phases()) && policy.looks_back();
        let looks_back = policies.iter().any(|attached| looks_back(&*attached.policy));
        let holds_on = policies.iter().any(|attached| attached.policy.holds_on());
        Pipeline { policies: Policies::new(policies), phases, looks_back, holds_on }
    }

    /// Puts something around each policy, before anybody is asked.
    pub fn wrap(&mut self, around: impl Fn(Box<dyn Policy>) -> Box<dyn Policy>) {
        *self = Pipeline::new(std::mem::take(&mut self.policies).wrapped(around));
    }

    /// What the policy at this place is called.
    pub fn name(&self, number: usize) -> &str {
        self.policies.get(number).map_or("", |attached| &attached.name)
    }

    /// Whether some policy may read the response body.
    pub fn reads_response_bodies(&self) -> bool {
        self.phases.has(Phase::ResponseBody) || self.phases.has(Phase::ResponseChunk)
    }

    /// Whether some policy looks at the request's headers when they have gone on.
    pub fn looks_back(&self) -> bool {
        self.looks_back
    }

    /// Whether some policy wants to know how the exchange ended.
    pub fn logs(&self) -> bool {
        self.phases.has(Phase::Log)
    }

    /// Where hooks find the exchange while its request is under way, if any may be called then.
    pub fn beside(&self, case: &mut Case) -> Option<Rc<Desk>> {
        match self.phases.has(Phase::Upstream) {
            true => Some(case.desk()),
            false => case.has_desk(),
        }
    }

    /// What its quotas have counted.
    pub fn quotas(&self) -> impl Iterator<Item = &dyn QuotaUsage> {
        self.policies.iter().filter_map(|attached| attached.policy.quota())
    }

    /// Whether the exchange has to be known until it has ended.
    pub fn holds_on(&self) -> bool {
        self.holds_on
    }

    /// It has ended: what was kept until then is dropped.
    pub fn let_go(&self, case: &mut Case) {
        if self.holds_on {
            self.policies.let_go(case);
        }
    }

    /// What is to be asked before each attempt, if anything is.
    pub fn tries(&self, desk: &Rc<Desk>) -> Option<Tries> {
        self.phases.has(Phase::Upstream).then(|| Tries::new(self.policies.clone(), desk.clone()))
    }

    /// Asks each policy in order, until one answers itself or refuses by failing. Those that have a seat were asked.
    pub async fn on_request(&self, case: &mut Case, body: &mut RequestBody) -> Decision {
        case.seats.reserve_exact(self.policies.len() - case.seats.len().min(self.policies.len()));
        for (number, attached) in self.policies.iter().enumerate().skip(case.seats.len()) {
            case.seats.push(Place::In(None));
            let decision = match self.policies.ask(number, Phase::Request, case).await {
                Some(Verdict::WantBody) => {
                    let limit = attached.policy.body_limit();
                    let collected = match case.has_desk() {
                        None => Some(body.collect(limit).await),
                        Some(_) => Box::pin(case.aside(body.collect(limit))).await,
                    };
                    let trailers = match collected {
                        Some(Ok(whole)) => {
                            case.exchange.request_body = Some(whole.bytes);
                            whole.trailers
                        }
                        Some(Err(error)) => {
                            refusal::respond(request_body_fault(error, limit), &mut case.exchange);
                            return Decision::Answered;
                        }
                        None => return Decision::Answered,
                    };
                    let verdict = self.policies.ask(number, Phase::RequestBody, case).await;
                    if let Some(bytes) = case.exchange.request_body.take() {
                        if trailers.is_some() {
                            unframe(case.exchange.request.headers_mut());
                        }
                        body.replace(Whole { bytes, trailers });
                    }
                    self.ask_about_trailers(number, case, body);
                    verdict
                }
                Some(Verdict::WantChunks) => Box::pin(self.stream_request(number, case, body)).await,
                verdict => {
                    self.ask_about_trailers(number, case, body);
                    verdict
                }
            };
            self.policies.release(number, Phase::RequestTrailers, case);
            if decision == Some(Verdict::Reply) {
                return Decision::Answered;
            }
        }
        Decision::Forward
    }

    /// Puts a policy that has the hook where the request's trailers come by, if any may.
    fn ask_about_trailers(&self, number: usize, case: &mut Case, body: &mut RequestBody) {
        let has_hook = |attached: &Attached| attached.policy.phases().has(Phase::RequestTrailers);
        if self.policies.get(number).is_some_and(has_hook) && body.may_have_trailers() {
            let stream = Stream::new(&self.policies, number, case, Side::Request);
            body.filter(|body| stream.through(body));
        }
    }

    /// Puts a policy in the way of the request's body.
    async fn stream_request(
        &self,
        number: usize,
        case: &mut Case,
        body: &mut RequestBody,
    ) -> Option<Verdict> {
        let is_empty = matches!(body, RequestBody::Empty);
        let stream = Stream::new(&self.policies, number, case, Side::Request).asked_about_chunks();
        body.filter(|body| stream.through(body));
        case.exchange.request.headers_mut().remove(header::CONTENT_LENGTH);
        // Most likely it stays empty; then it is sent as what it is.
        if is_empty && case.aside(body.begin()).await.is_none() {
            return Some(Verdict::Reply);
        }
        None
    }

    /// Asks the policies that took part, in reverse order. `body` is what the client will get.
    pub async fn on_response(&self, case: &mut Case, body: &mut ResponseBody) {
        if !is_asked_later(self.phases) {
            return;
        }
        if let Some(desk) = case.has_desk() {
            desk.response_is_back();
            desk.reach(Phase::ResponseTrailers);
        }
        for number in (0..case.seats.len()).rev() {
            let Some(attached) = self.policies.get(number) else { continue };
            let mut trailers = None;
            let verdict = self.policies.ask(number, Phase::Response, case).await;
            let wants_more = verdict.is_some_and(Verdict::wants_more);
            if wants_more && has_no_body(&case.exchange, body) {
                // What it would have made of the body, and how long that were, nobody knows.
                case.exchange.response.headers_mut().remove(header::CONTENT_LENGTH);
                if let ResponseBody::Full(_) = body {
                    body.replace(Bytes::new());
                }
            } else if verdict == Some(Verdict::WantBody) {
                let limit = attached.policy.body_limit();
                let collected = match (is_readable(&case.exchange), case.has_desk()) {
                    (Err(failure), _) => Err(failure),
                    (Ok(()), None) => collect_response(body, limit).await,
                    (Ok(()), Some(_)) => Box::pin(collect_beside(case, body, limit)).await,
                };
                match collected {
                    Ok(whole) => {
                        case.exchange.response_body = Some(whole.bytes);
                        let verdict = self.policies.ask(number, Phase::ResponseBody, case).await;
                        // What is answered instead has none.
                        trailers = whole.trailers.filter(|_| verdict != Some(Verdict::Reply));
                    }
                    Err(failure) => {
                        self.policies.failed(number, case, failure);
                    }
                }
            } else if verdict == Some(Verdict::WantChunks) {
                Box::pin(self.stream_response(number, case, body)).await;
            }
            if let Some(tap) = case.exchange.tap.take() {
                body.tap(tap);
            }
            // What was buffered, replaced or answered instead is the body from here on.
            match ResponseBody::take_local(&mut case.exchange) {
                Some(ResponseBody::Full(whole)) => {
                    if trailers.is_some() {
                        unframe(case.exchange.response.headers_mut());
                    }
                    body.replace(Whole { trailers, ..whole });
                }
                Some(other) => *body = other,
                None => {}
            }
            if verdict != Some(Verdict::WantChunks)
                && attached.policy.phases().has(Phase::ResponseTrailers)
                && body.may_have_trailers()
            {
                let stream = Stream::new(&self.policies, number, case, Side::Response).with_its_head_sent();
                body.filter(|body| stream.through(body));
            }
            self.policies.release(number, Phase::ResponseTrailers, case);
        }
    }

    /// Puts a policy in the way of the response's body, and waits for the first that goes on: until then it
    /// can answer itself. (One that recodes it never does.)
    async fn stream_response(&self, number: usize, case: &mut Case, body: &mut ResponseBody) {
        // What was answered in place of the response is the body that it is asked about.
        if let Some(answered) = ResponseBody::take_local(&mut case.exchange) {
            *body = answered;
        }
        let recodes = self.policies.get(number).is_some_and(|attached| attached.policy.recodes());
        if !recodes && let Err(failure) = is_readable(&case.exchange) {
            self.policies.failed(number, case, failure);
            return;
        }
        // It may become another one.
        let headers = case.exchange.response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        for name in SPEAKS_OF_THE_BODY.iter().filter(|_| !recodes) {
            headers.remove(name);
        }
        // Both sides of gRPC stream, and a client may wait for the head before it goes on.
        let is_grpc =
            case.exchange.headers(Side::Response).get(header::CONTENT_TYPE).is_some_and(head::is_grpc);
        let waits = !recodes && !is_grpc;
        let stream = Stream::new(&self.policies, number, case, Side::Response).asked_about_chunks();
        let stream = if waits { stream } else { stream.with_its_head_sent() };
        body.filter(|body| stream.through(body));
        if waits {
            // If it is answered instead, the answer is in the exchange.
            case.aside(body.begin()).await;
        }
    }

    /// Tells the policies that took part how it ended.
    pub async fn on_log(&self, case: &mut Case) {
        for number in 0..case.seats.len() {
            self.policies.ask(number, Phase::Log, case).await;
            self.policies.release(number, Phase::Log, case);
        }
    }
}

/// Whether somebody with these phases is asked once the request has gone on.
fn is_asked_later(phases: Phases) -> bool {
    phases.any_after(Phase::RequestBody)
}

/// Where trailers follow a body that a policy waited for, its length is not said: HTTP/1.1 has trailers only
/// behind chunks.
fn unframe(headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_LENGTH);
}

fn request_body_fault(error: CollectError, limit: u64) -> Fault {
    match error {
        CollectError::TooLong => Fault::body_too_large(limit, "a policy reads"),
        CollectError::TooSlow => Fault::body_too_slow(),
        CollectError::Broken(reason) => Fault::body_cut_off(reason),
    }
}

/// Whether this response never has a body, whatever its head says (RFC 9110, section 6.4.1).
fn has_no_body(exchange: &Exchange, body: &ResponseBody) -> bool {
    exchange.request.method() == Method::HEAD
        || matches!(body, ResponseBody::Switched(_))
        || matches!(exchange.response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The whole response body for a policy that asked.
async fn collect_response(body: &mut ResponseBody, limit: u64) -> Result<Whole, Failure> {
    body.collect(limit).await.map_err(|error| match error {
        CollectError::TooLong => {
            unreadable(format!("the response body it wants is longer than limits.body, {limit} bytes"))
        }
        CollectError::TooSlow => unreadable("the response body it wants stalled".to_owned()),
        CollectError::Broken(reason) => unreadable(format!("the response body it wants broke off: {reason}")),
    })
}

/// The same, where hooks may be called meanwhile.
async fn collect_beside(case: &mut Case, body: &mut ResponseBody, limit: u64) -> Result<Whole, Failure> {
    let collected = case.aside(collect_response(body, limit)).await;
    collected.unwrap_or_else(|| Err(unreadable("the response body it wants is not there".to_owned())))
}

fn is_readable(exchange: &Exchange) -> Result<(), Failure> {
    match exchange.headers(Side::Response).get(header::CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Err(unreadable(format!("the response body it wants is encoded: {encoding:?}")))
        }
        _ => Ok(()),
    }
}

fn unreadable(reason: String) -> Failure {
    Failure::new(FailureKind::Body, reason)
}
