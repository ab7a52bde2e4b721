//! The policies of a route: forwards on requests, backwards on responses.

use bytes::Bytes;
use http::{Method, StatusCode};
use limen_config::OnError;
use limen_policy::{
    Answer, Exchange, Failure, FailureKind, Phase, Phases, Policy, Reply, Seat, Side, Verdict,
};

use crate::body::{CollectError, RequestBody, ResponseBody};
use crate::refusal::{self, Fault};

/// The ordered policies of a route.
#[derive(Default)]
pub struct Pipeline {
    policies: Vec<Attached>,
    phases: Phases,
}

/// A policy and what its failures mean here.
pub struct Attached {
    pub name: String,
    pub policy: Box<dyn Policy>,
    pub on_error: OnError,
}

/// How far one exchange has come in its pipeline, and what its policies keep of it.
#[derive(Default)]
pub struct Progress {
    seats: Vec<Place>,
}

/// One policy in one exchange.
enum Place {
    /// It takes part, and keeps this.
    In(Seat),
    /// It failed: it is not asked again.
    Out,
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
        Pipeline { policies, phases }
    }

    /// What the policy at this place is called.
    pub fn name(&self, number: usize) -> &str {
        self.policies.get(number).map_or("", |attached| &attached.name)
    }

    /// Whether some policy may read the response body.
    pub fn reads_response_bodies(&self) -> bool {
        self.phases.has(Phase::ResponseBody)
    }

    /// Whether some policy is asked once the request has gone on, and may look back at it.
    pub fn looks_back(&self) -> bool {
        self.phases.any_after(Phase::RequestBody)
    }

    /// Whether some policy wants to know how the exchange ended.
    pub fn logs(&self) -> bool {
        self.phases.has(Phase::Log)
    }

    /// Asks each policy in order, until one answers itself or refuses by failing.
    pub async fn on_request(
        &self,
        progress: &mut Progress,
        exchange: &mut Box<Exchange>,
        body: &mut RequestBody,
    ) -> Decision {
        progress.seats.reserve_exact(self.policies.len());
        for (number, attached) in self.policies.iter().enumerate() {
            progress.seats.push(Place::In(None));
            let decision = match self.ask(number, Phase::Request, progress, exchange).await {
                Some(Verdict::WantBody) => {
                    let limit = attached.policy.body_limit();
                    match body.collect(limit).await {
                        Ok(bytes) => exchange.request_body = Some(bytes),
                        Err(error) => {
                            refusal::respond(request_body_fault(error, limit), exchange);
                            return Decision::Answered;
                        }
                    }
                    let verdict = self.ask(number, Phase::RequestBody, progress, exchange).await;
                    if let Some(bytes) = exchange.request_body.take() {
                        body.replace(bytes);
                    }
                    verdict
                }
                verdict => verdict,
            };
            if decision == Some(Verdict::Reply) {
                return Decision::Answered;
            }
        }
        Decision::Forward
    }

    /// Asks the policies that took part, in reverse order. `body` is what the client will get.
    pub async fn on_response(
        &self,
        progress: &mut Progress,
        exchange: &mut Box<Exchange>,
        body: &mut ResponseBody,
    ) {
        if !self.looks_back() {
            return;
        }
        for number in (0..progress.seats.len()).rev() {
            let Some(attached) = self.policies.get(number) else { continue };
            let verdict = self.ask(number, Phase::Response, progress, exchange).await;
            if verdict == Some(Verdict::WantBody) && has_no_body(exchange) {
                // What it would have made of the body, and how long that were, nobody knows.
                exchange.response.headers_mut().remove(http::header::CONTENT_LENGTH);
            } else if verdict == Some(Verdict::WantBody) {
                match collect_response(exchange, body, attached.policy.body_limit()).await {
                    Ok(bytes) => {
                        exchange.response_body = Some(bytes);
                        self.ask(number, Phase::ResponseBody, progress, exchange).await;
                    }
                    Err(failure) => {
                        self.failed(number, progress, exchange, failure);
                    }
                }
            }
            // What was buffered, replaced or answered instead is the body from here on.
            if let Some(bytes) = exchange.response_body.take() {
                body.replace(bytes);
            }
        }
    }

    /// Tells the policies that took part how it ended.
    pub async fn on_log(&self, progress: &mut Progress, exchange: &mut Box<Exchange>) {
        for number in 0..progress.seats.len() {
            self.ask(number, Phase::Log, progress, exchange).await;
        }
    }

    /// One hook of one policy, and what it leads to; none if the exchange goes on as it was.
    /// [`Verdict::Reply`] means that the answer is in the exchange, from whoever it is.
    async fn ask(
        &self,
        number: usize,
        phase: Phase,
        progress: &mut Progress,
        exchange: &mut Box<Exchange>,
    ) -> Option<Verdict> {
        let attached = self.policies.get(number)?;
        let Place::In(seat) = progress.seats.get_mut(number)? else { return None };
        if !attached.policy.phases().has(phase) {
            return None;
        }
        exchange.enter(phase, number);
        let verdict = match attached.policy.call(phase, exchange, seat) {
            Answer::Ready(verdict) => verdict,
            Answer::Wait(future) => future.await,
        };
        match verdict {
            Ok(Verdict::Reply) => {
                exchange.discard();
                let Reply { head, body } = exchange.reply.take().unwrap_or_default();
                exchange.answer_locally(head, Bytes::from(body), "policy_reply");
                Some(Verdict::Reply)
            }
            Ok(verdict) => {
                exchange.commit();
                Some(verdict)
            }
            Err(failure) => {
                exchange.discard();
                self.failed(number, progress, exchange, failure)
            }
        }
    }

    /// Does what the operator wrote for this policy's failures.
    fn failed(
        &self,
        number: usize,
        progress: &mut Progress,
        exchange: &mut Box<Exchange>,
        failure: Failure,
    ) -> Option<Verdict> {
        let attached = self.policies.get(number)?;
        if let Some(place) = progress.seats.get_mut(number) {
            *place = Place::Out;
        }
        let (id, name, route) = (&exchange.id, attached.name.as_str(), exchange.route.name.as_str());
        let phase = exchange.phase();
        if phase == Phase::Log || attached.on_error == OnError::Skip {
            tracing::warn!(%id, policy = name, route, phase = phase.name(), "policy failed, skipped: {failure}");
            return None;
        }
        let status = match attached.on_error {
            OnError::Status(status) => status,
            _ if failure.kind == FailureKind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        refusal::respond(Fault::policy(status, format!("{name}: {failure}")), exchange);
        Some(Verdict::Reply)
    }
}

fn request_body_fault(error: CollectError, limit: u64) -> Fault {
    match error {
        CollectError::TooLong => Fault::body_too_large(limit, "a policy reads"),
        CollectError::TooSlow => Fault::body_too_slow(),
        CollectError::Broken(reason) => Fault::body_cut_off(reason),
    }
}

/// Whether this response never has a body, whatever its head says (RFC 9110, section 6.4.1).
fn has_no_body(exchange: &Exchange) -> bool {
    exchange.request.method() == Method::HEAD
        || matches!(exchange.response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The whole response body for a policy that asked, which must be able to read it.
async fn collect_response(
    exchange: &Exchange,
    body: &mut ResponseBody,
    limit: u64,
) -> Result<Bytes, Failure> {
    let failure = |reason: String| Failure::new(FailureKind::Body, reason);
    if let Some(encoding) = exchange.headers(Side::Response).get(http::header::CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(failure(format!("the response body it wants is encoded: {encoding:?}")));
    }
    body.collect(limit).await.map_err(|error| match error {
        CollectError::TooLong => {
            failure(format!("the response body it wants is longer than limits.body, {limit} bytes"))
        }
        CollectError::TooSlow => failure("the response body it wants stalled".to_owned()),
        CollectError::Broken(reason) => failure(format!("the response body it wants broke off: {reason}")),
    })
}
