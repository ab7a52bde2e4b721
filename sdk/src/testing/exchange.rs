//! One request and its answer, phase by phase, in one isolate.

use super::{Consumer, Line, Outcome, Request, Response, Tested, Verdict};
use crate::__private::{self as glue, ChunkEnding, Ending};
use crate::host::mock::{self, Moment};
use crate::{Phase, Policy};

/// An exchange with a policy under test.
///
/// ```
/// # use limen::{prelude::*, testing};
/// # struct Timer { path: String }
/// # #[limen::policy]
/// # impl Timer {
/// #     fn configure() -> Result<Self> { Ok(Timer { path: String::new() }) }
/// #     fn on_request(&mut self, request: &mut Request) -> Result<Flow> { self.path = request.path(); Ok(Flow::Next) }
/// #     fn on_response(&mut self, response: &mut Response) -> Result<Flow> {
/// #         response.set_header("x-path", &self.path)?;
/// #         Ok(Flow::Next)
/// #     }
/// # }
/// let mut timer = testing::policy::<Timer>(json!({})).unwrap();
/// let mut exchange = timer.exchange(testing::get("/a"));
/// exchange.request().next();
/// let response = exchange.response(testing::response(200)).next();
/// assert_eq!(response.value("x-path"), Some("/a"));
/// ```
#[derive(Debug)]
pub struct Exchange<'a, P> {
    tested: &'a mut Tested<P>,
    /// None: `configure` failed in this isolate, for this reason.
    policy: Result<P, String>,
    state: mock::Exchange,
    /// Of the request, until its phases have run.
    request: Passing,
}

/// The pieces of a body, and what follows it.
type Passing = (Vec<Vec<u8>>, mock::Head);

/// The phases of a message.
#[derive(Debug)]
struct Side {
    message: Phase,
    head: Moment,
    body: Phase,
    body_moment: Moment,
    chunk: Phase,
    chunk_moment: Moment,
}

const REQUEST: Side = Side {
    message: Phase::Request,
    head: Moment::Request,
    body: Phase::RequestBody,
    body_moment: Moment::RequestBody,
    chunk: Phase::RequestChunk,
    chunk_moment: Moment::RequestChunk,
};

const RESPONSE: Side = Side {
    message: Phase::Response,
    head: Moment::Response,
    body: Phase::ResponseBody,
    body_moment: Moment::ResponseBody,
    chunk: Phase::ResponseChunk,
    chunk_moment: Moment::ResponseChunk,
};

impl Side {
    fn body_of<'a>(&self, state: &'a mut mock::Exchange) -> &'a mut Vec<u8> {
        match self.message {
            Phase::Request => &mut state.request_body,
            _ => &mut state.response_body,
        }
    }

    /// What a head says of a body that may become another one.
    fn unframe(&self, state: &mut mock::Exchange) {
        const SPEAKS_OF_IT: [&str; 6] =
            ["etag", "accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"];
        if self.message == Phase::Request {
            return state.request.head.drop_all("content-length");
        }
        state.response.head.drop_all("content-length");
        SPEAKS_OF_IT.iter().for_each(|name| state.response.head.drop_all(name));
    }
}

impl<'a, P: Policy> Exchange<'a, P> {
    pub(super) fn begin(tested: &'a mut Tested<P>, request: Request) -> Self {
        let policy = tested.isolate().map_err(|error| error.to_string());
        let mut state = mock::Exchange::new();
        state.request_id = "test-request".into();
        state.received_ms = tested.process.counters.now_ms;
        let passing = request.passing();
        request.arrive(&mut state);
        Exchange { tested, policy, state, request: passing }
    }

    /// Another policy of this exchange has put this into the bag.
    pub fn bag(mut self, key: &str, value: &str) -> Self {
        self.state.bag.insert(key.into(), (value.into(), false));
        self
    }

    /// A policy before this one has named this consumer.
    pub fn named(mut self, consumer: Consumer) -> Self {
        self.state.consumer = Some(consumer);
        self
    }

    /// Whom the exchange is for, if somebody was named.
    pub fn consumer(&self) -> Option<&Consumer> {
        self.state.consumer.as_ref()
    }

    /// The clock moves on so much, in the middle of the exchange.
    pub fn advance(&mut self, time: std::time::Duration) -> &mut Self {
        self.tested.advance(time);
        self
    }

    /// The upstream has taken so long for the head of its response.
    pub fn upstream_took(mut self, time: std::time::Duration) -> Self {
        self.state.upstream_us = u64::try_from(time.as_micros()).ok();
        self
    }

    /// The upstream was reached over a connection that took so long to be made.
    pub fn connect_took(mut self, time: std::time::Duration) -> Self {
        self.state.connect_us = u64::try_from(time.as_micros()).ok();
        self
    }

    /// What is in the bag.
    pub fn bag_value(&self, key: &str) -> Option<&[u8]> {
        self.state.bag.get(key).map(|(value, _)| value.as_slice())
    }

    /// The request's phases: `on_request`; `on_request_body` or `on_request_chunk`, if it asks for the body;
    /// and `on_request_trailers`, if there are any.
    pub fn request(&mut self) -> Outcome<Request> {
        let passing = std::mem::take(&mut self.request);
        self.phases(&REQUEST, passing, Request::leave)
    }

    /// An attempt at an upstream, `on_upstream`; without it a response comes from 192.0.2.2:80. Answers the request as it goes to that endpoint; the next
    /// attempt begins again with what there was before.
    pub fn upstream(&mut self, endpoint: &str) -> Outcome<Request> {
        self.state.attempt = (self.state.attempt.0 + 1, endpoint.into());
        let head = self.state.request.clone();
        let verdict = self.decide(Phase::Upstream, Moment::Upstream, glue::on_upstream);
        let outcome = self.outcome(verdict, false, false, Request::leave);
        self.state.request = head;
        outcome
    }

    /// The response's phases, for a response of the upstream: `on_response`; `on_response_body` or
    /// `on_response_chunk`, if it asks for the body; and `on_response_trailers`, if there are any.
    pub fn response(&mut self, response: Response) -> Outcome<Response> {
        let passing = response.passing();
        response.arrive(&mut self.state);
        if self.state.attempt.0 == 0 && !self.state.response_is_local {
            self.state.attempt = (1, "192.0.2.2:80".into());
        }
        self.phases(&RESPONSE, passing, Response::leave)
    }

    /// The end of the exchange: `on_log`. Answers the lines it wrote.
    pub fn log(&mut self) -> Vec<Line> {
        if P::PHASES.contains(&Phase::Log) {
            self.hook(Moment::Log, glue::on_log);
        }
        std::mem::take(&mut self.state.log)
    }

    fn phases<M>(
        &mut self,
        side: &Side,
        (chunks, trailers): Passing,
        leave: fn(&mock::Exchange) -> M,
    ) -> Outcome<M> {
        let head: fn(&mut P) -> Ending = match side.message {
            Phase::Request => glue::on_request,
            _ => glue::on_response,
        };
        let mut verdict = self.decide(side.message, side.head, head);
        let (buffered, streamed) = (verdict == Ok(Ending::WantBody), verdict == Ok(Ending::WantChunks));
        self.state.trailers = trailers;
        if buffered {
            let body: fn(&mut P) -> Ending = match side.message {
                Phase::Request => glue::on_request_body,
                _ => glue::on_response_body,
            };
            verdict = match P::PHASES.contains(&side.body) {
                true => self.decide(side.body, side.body_moment, body),
                false => Err("the policy asked for a body, and has no method for it".into()),
            };
            if let Ok(Ending::WantBody | Ending::WantChunks) = verdict {
                verdict = Err("the policy asked for a body that it already had".into());
            }
        } else if streamed {
            verdict = self.stream(side, chunks);
        }
        if verdict == Ok(Ending::Next) && !self.state.trailers.fields.is_empty() {
            let (phase, moment, hook): (_, _, fn(&mut P) -> Ending) = match side.message {
                Phase::Request => {
                    (Phase::RequestTrailers, Moment::RequestTrailers, glue::on_request_trailers)
                }
                _ => (Phase::ResponseTrailers, Moment::ResponseTrailers, glue::on_response_trailers),
            };
            verdict = self.decide(phase, moment, hook);
        }
        let outcome = self.outcome(verdict, buffered, streamed, leave);
        (self.state.is_sent, self.state.trailers) = (false, mock::Head::default());
        outcome
    }

    /// Every piece of a body through the chunk hook.
    fn stream(&mut self, side: &Side, chunks: Vec<Vec<u8>>) -> Result<Ending, String> {
        if !P::PHASES.contains(&side.chunk) {
            return Err("the policy asked for chunks, and has no method for them".into());
        }
        side.unframe(&mut self.state);
        side.body_of(&mut self.state).clear();
        let mut chunks = chunks.into_iter();
        let mut asks = true;
        loop {
            let chunk = chunks.next();
            let last = chunk.is_none();
            let chunk = chunk.unwrap_or_default();
            let goes_on = match asks {
                true => match self.chunk(side, &chunk, last)? {
                    ChunkEnding::Pass => chunk,
                    ChunkEnding::PassRest => {
                        asks = false;
                        chunk
                    }
                    ChunkEnding::Emitted => std::mem::take(&mut self.state.emitted),
                    ChunkEnding::Drop => Vec::new(),
                    ChunkEnding::Reply => return Ok(Ending::Reply),
                    ChunkEnding::Fail => return Err(self.state.failed.take().unwrap_or_default()),
                },
                false => chunk,
            };
            self.state.is_sent |= side.message == Phase::Response && !goes_on.is_empty();
            side.body_of(&mut self.state).extend(goes_on);
            if last {
                return Ok(Ending::Next);
            }
        }
    }

    fn chunk(&mut self, side: &Side, chunk: &[u8], last: bool) -> Result<ChunkEnding, String> {
        let hook: fn(&mut P, Vec<u8>, bool) -> ChunkEnding = match side.message {
            Phase::Request => glue::on_request_chunk,
            _ => glue::on_response_chunk,
        };
        self.state.emitted.clear();
        let ending = self.hook(side.chunk_moment, |policy: &mut P| hook(policy, chunk.to_vec(), last));
        ending.ok_or_else(|| self.policy.as_ref().err().cloned().unwrap_or_default())
    }

    fn outcome<M>(
        &mut self,
        verdict: Result<Ending, String>,
        buffered: bool,
        streamed: bool,
        leave: fn(&mock::Exchange) -> M,
    ) -> Outcome<M> {
        let verdict = match (verdict, self.state.reply.take()) {
            (Ok(Ending::Reply), Some((head, body))) => Verdict::Reply(Response::local(head, body)),
            (Ok(Ending::Next), _) => Verdict::Next(leave(&self.state)),
            (Err(reason), _) => Verdict::Fail(reason),
            (Ok(_), _) => Verdict::Fail("no reason was given".into()),
        };
        Outcome { verdict, buffered, streamed, log: std::mem::take(&mut self.state.log) }
    }

    /// Run one hook, if the policy has it, and take or drop its edits.
    fn decide(&mut self, phase: Phase, moment: Moment, hook: fn(&mut P) -> Ending) -> Result<Ending, String> {
        if !P::PHASES.contains(&phase) {
            return Ok(Ending::Next);
        }
        let before = self.state.clone();
        let Some(ending) = self.hook(moment, hook) else {
            return Err(self.policy.as_ref().err().cloned().unwrap_or_default());
        };
        if matches!(ending, Ending::Reply | Ending::Fail) {
            let after = std::mem::replace(&mut self.state, before);
            self.state.reply = after.reply;
            self.state.log = after.log;
            self.state.failed = after.failed;
        }
        match ending {
            Ending::Fail => Err(self.state.failed.take().unwrap_or_default()),
            ending => Ok(ending),
        }
    }

    fn hook<T>(&mut self, moment: Moment, hook: impl FnOnce(&mut P) -> T) -> Option<T> {
        let policy = self.policy.as_mut().ok()?;
        self.state.moment = moment;
        self.state.edits = 0;
        self.state.reply = None;
        let ending = mock::enter(&mut self.tested.process, &mut self.state, || hook(policy));
        self.state.moment = Moment::Outside;
        Some(ending)
    }
}
