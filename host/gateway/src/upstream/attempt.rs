//! One try of a request: an endpoint, a connection to it, and the head of its response.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::time::{Duration, Instant};

use http::Request;
use limen_config::Trouble;
use limen_policy::Client;

use crate::body::{RequestBody, ResponseBody, Upload};
use crate::observe::{Attempt, Attempts};
use crate::pipeline::{Answered, Tries};
use crate::refusal::Fault;

use super::balance::Ask;
use super::endpoint::{Endpoint, EndpointId};
use super::failure::{Failure, FailureKind};
use super::pool::Age;
use super::{Answer, Lease, Outcome, Picked, Upstream, host};

/// How often a request goes to the same endpoint again because nobody there began with it. More often
/// than this is not by chance.
const UNSENT: usize = 4;

/// Where a request has been so far, and how long it may still wait for connections.
pub struct Course {
    /// The endpoints that were no good.
    tried: RefCell<Vec<EndpointId>>,
    /// The one that has it now.
    at: Cell<Option<EndpointId>>,
    connect: Cell<Connecting>,
    limit: Duration,
}

#[derive(Clone, Copy)]
enum Connecting {
    /// Nothing was in the way yet, and this much time is left.
    Left(Duration),
    /// The clock runs.
    Until(Instant),
}

/// A try without an answer.
pub struct Failed {
    /// What it was; none if asking again is of no use.
    pub trouble: Option<Trouble>,
    pub fault: Fault,
    /// If nothing of it was sent.
    pub request: Option<Box<Request<RequestBody>>>,
}

impl Upstream {
    /// Sends a request to the endpoint that the balancer picks, or to the next one where no connection
    /// comes about.
    pub async fn attempt(
        &self,
        mut request: Box<Request<RequestBody>>,
        client: &Client,
        attempts: Option<Attempts<'_>>,
        tries: Option<&Tries>,
        course: &Course,
    ) -> Result<Answer, Box<Failed>> {
        let mut unreachable = None;
        while let Some(picked) = course.pick(|tried| self.pick(&Ask { request: &request, client }, tried)) {
            let Some(limit) = course.time_to_connect(picked.among()) else {
                let failure = Failure::new(FailureKind::ConnectTimeout, "no time to connect is left");
                unreachable.get_or_insert(failure);
                break;
            };
            let id = picked.id();
            let asked = match tries {
                None => self.ask(picked, request, limit, attempts).await,
                Some(tries) => Box::pin(self.ask_shown(tries, picked, request, limit, attempts)).await,
            };
            let mut failure = match asked {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            course.failed(id, limit, failure.kind);
            if matches!(failure.kind, FailureKind::ConnectTimeout | FailureKind::Timeout) {
                self.counts().timed_out();
            }
            if failure.kind == FailureKind::Full {
                self.counts().overloaded();
            }
            match failure.request.take() {
                Some(untouched) if failure.kind.is_connecting() || failure.kind == FailureKind::Unsent => {
                    request = untouched;
                }
                untouched => {
                    failure.request = untouched;
                    return Err(Box::new(Failed::from(failure)));
                }
            }
            unreachable = Some(both(unreachable, failure));
        }
        let mut failure =
            unreachable.unwrap_or_else(|| Failure::new(FailureKind::Connect, "it has no endpoints"));
        failure.request = Some(request);
        Err(Box::new(Failed::from(failure)))
    }

    /// The endpoint that has the request was given up: it was too slow.
    pub fn blame(&self, course: &Course) {
        let (here, id) = (self.here(), course.at.get());
        if let Some(endpoint) = here.set.endpoints.iter().find(|endpoint| Some(endpoint.id) == id) {
            here.set.note(endpoint, Outcome::Failed);
        }
    }

    /// Asks one endpoint, after policies have seen the head. What they change is for this attempt alone.
    async fn ask_shown(
        &self,
        tries: &Tries,
        picked: Picked,
        mut request: Box<Request<RequestBody>>,
        limit: Duration,
        attempts: Option<Attempts<'_>>,
    ) -> Result<Answer, Failure> {
        let before = request.headers().clone();
        let address = &picked.endpoint().address;
        host::settle(&self.shared.terms.host, address, &mut request);
        if let Err(Answered) = tries.before(address.to_string(), &mut request).await {
            return Err(Failure::new(FailureKind::Answered, "a policy has answered"));
        }
        self.ask(picked, request, limit, attempts).await.map_err(|mut failure| {
            if let Some(request) = &mut failure.request {
                *request.headers_mut() = before;
            }
            failure
        })
    }

    /// Asks one endpoint.
    async fn ask(
        &self,
        picked: Picked,
        mut request: Box<Request<RequestBody>>,
        limit: Duration,
        attempts: Option<Attempts<'_>>,
    ) -> Result<Answer, Failure> {
        let mut unsent = 0;
        let mut age = Age::Kept;
        host::settle(&self.shared.terms.host, &picked.endpoint().address, &mut request);
        loop {
            let mut attempt = attempts.map(|at| at.begin(picked.endpoint(), request.headers_mut()));
            let mut failure = match picked.pool().connection(&request, age, limit).await {
                Ok(connection) => {
                    if connection.is_new() {
                        Attempt::connected(&mut attempt);
                    }
                    let upload = request.body().upload();
                    let sent = std::pin::pin!(connection.send(request));
                    match self.head(sent, upload.as_deref(), picked.endpoint()).await {
                        Ok((mut head, incoming, connection)) => {
                            picked.mark(head.headers_mut());
                            Attempt::answer(attempt, picked.endpoint(), head.status());
                            picked.report(Outcome::Answered(head.status()));
                            let lease = Lease::new(connection, picked);
                            let idle = self.shared.terms.timeout.idle;
                            let body = ResponseBody::new(head.status(), incoming, lease, idle);
                            return Ok(Answer { head, body });
                        }
                        Err(failure) => failure,
                    }
                }
                Err(mut failure) => {
                    failure.request = Some(request);
                    failure
                }
            };
            Attempt::fail(attempt, failure.kind.name());
            match failure.request.take() {
                // The connection had been closed, or took no more: the next one.
                Some(again) if failure.kind == FailureKind::Unsent && unsent < UNSENT => {
                    (request, unsent) = (again, unsent + 1);
                }
                // Once more, on a connection that can't have been closed for being idle.
                Some(again)
                    if failure.kind == FailureKind::Stale && age == Age::Kept && self.may_repeat() =>
                {
                    (request, age) = (again, Age::New);
                }
                untouched => {
                    if failure.kind.is_endpoints() {
                        picked.report(Outcome::Failed);
                    }
                    // Who knows what the endpoint has seen of it.
                    failure.request = untouched.filter(|_| failure.kind != FailureKind::Stale);
                    return Err(failure);
                }
            }
        }
    }

    /// Waits for the response head. The time limit counts from the end of the request body, and from
    /// its last movement while that is on its way.
    async fn head<T>(
        &self,
        mut sent: Pin<&mut impl Future<Output = Result<T, Failure>>>,
        upload: Option<&Upload>,
        endpoint: &Endpoint,
    ) -> Result<T, Failure> {
        let first_byte = self.shared.terms.timeout.first_byte;
        let mut limit = first_byte;
        loop {
            match tokio::time::timeout(limit, sent.as_mut()).await {
                Ok(output) => return output,
                Err(_) => match upload.map(|upload| upload.moved().elapsed()) {
                    Some(still) if still < first_byte => limit = first_byte - still,
                    Some(_) if upload.is_some_and(|upload| !upload.is_done() && upload.is_waiting()) => {
                        return Err(Failure::new(FailureKind::StalledBody, "the request body stalled"));
                    }
                    _ => {
                        let reason = format!("{} sent no response within {first_byte:?}", endpoint.address);
                        return Err(Failure::new(FailureKind::Timeout, reason));
                    }
                },
            }
        }
    }
}

/// What the log says of endpoints that could not be reached one after the other.
fn both(before: Option<Failure>, now: Failure) -> Failure {
    const LONGEST: usize = 500;
    match before.filter(|before| before.reason.len() + now.reason.len() < LONGEST) {
        Some(before) => Failure { reason: format!("{}; {}", before.reason, now.reason), ..now },
        None => now,
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        use FailureKind as Kind;
        let Failure { kind, reason, request } = failure;
        let (trouble, fault) = match kind {
            Kind::Connect | Kind::Tls => (Some(Trouble::Connect), Fault::upstream_unreachable(reason)),
            Kind::ConnectTimeout => (Some(Trouble::Connect), Fault::upstream_slow(reason)),
            Kind::Full => (Some(Trouble::Overload), Fault::upstream_overloaded(reason)),
            Kind::Unsent => (Some(Trouble::RefusedStream), Fault::upstream_broken(reason)),
            Kind::Stale | Kind::Reset | Kind::Malformed => {
                (Some(Trouble::Reset), Fault::upstream_broken(reason))
            }
            Kind::Timeout => (Some(Trouble::Timeout), Fault::upstream_slow(reason)),
            // It will be the same at the next try.
            Kind::NoUpgrade => (None, Fault::upstream_broken(reason)),
            Kind::RequestBody => (None, Fault::body_cut_off(reason)),
            Kind::StalledBody => (None, Fault::body_too_slow()),
            Kind::Answered => (None, Fault::answered(reason)),
        };
        Failed { trouble, fault, request }
    }
}

impl Failed {
    pub fn new(trouble: Trouble, fault: Fault) -> Box<Self> {
        Box::new(Failed { trouble: Some(trouble), fault, request: None })
    }
}

impl Course {
    /// `limit` is for making connections, all of them together.
    pub fn new(limit: Duration) -> Self {
        Course {
            tried: RefCell::default(),
            at: Cell::new(None),
            connect: Cell::new(Connecting::Left(limit)),
            limit,
        }
    }

    /// One that begins beside this one, which has not ended.
    pub fn beside(&self) -> Self {
        Course::new(self.limit)
    }

    /// Another try begins: the endpoint of the last one is not the first choice.
    pub fn again(&self) {
        if let Some(endpoint) = self.at.take() {
            self.try_no_more(endpoint);
        }
        self.connect.set(Connecting::Left(self.time_left()));
    }

    /// For making connections.
    pub fn time_left(&self) -> Duration {
        match self.connect.get() {
            Connecting::Left(left) => left,
            Connecting::Until(end) => end.saturating_duration_since(Instant::now()),
        }
    }

    /// Keeps away from wherever these are or were.
    pub fn avoid(&self, others: &[&Course]) {
        let asked = Self::asked(others);
        *self.tried.borrow_mut() = asked;
    }

    /// All endpoints that these have asked.
    pub fn asked(courses: &[&Course]) -> Vec<EndpointId> {
        let mut all: Vec<EndpointId> = courses
            .iter()
            .flat_map(|course| {
                course.tried.borrow().iter().copied().chain(course.at.get()).collect::<Vec<_>>()
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// An endpoint that was not tried; when all were, it begins anew.
    fn pick(&self, pick: impl Fn(&[EndpointId]) -> Option<Picked>) -> Option<Picked> {
        let mut tried = self.tried.borrow_mut();
        let picked = pick(&tried).or_else(|| {
            // Those that failed just now were asked in this very try.
            if tried.is_empty() || self.at.get().is_some() {
                return None;
            }
            tried.clear();
            pick(&tried)
        });
        self.at.set(picked.as_ref().map(Picked::id));
        picked
    }

    /// How long the next connection may take: half of what is left while there are other endpoints, so
    /// that one which does not even refuse does not use up all of it; none when nothing is left.
    fn time_to_connect(&self, endpoints: usize) -> Option<Duration> {
        let left = self.time_left();
        let is_last = self.tried.borrow().len() + 1 >= endpoints;
        let share = if is_last { left } else { (left / 2).max(self.limit / 8).min(left) };
        (!share.is_zero()).then_some(share)
    }

    /// That endpoint did not answer.
    fn failed(&self, endpoint: EndpointId, took: Duration, kind: FailureKind) {
        if let Connecting::Left(left) = self.connect.get()
            && kind.is_connecting()
        {
            let took = if kind == FailureKind::ConnectTimeout { took } else { Duration::ZERO };
            self.connect.set(Connecting::Until(Instant::now() + left.saturating_sub(took)));
        }
        self.try_no_more(endpoint);
    }

    fn try_no_more(&self, endpoint: EndpointId) {
        let mut tried = self.tried.borrow_mut();
        if !tried.contains(&endpoint) {
            tried.push(endpoint);
        }
    }
}
