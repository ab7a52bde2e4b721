//! One request and its answer, phase by phase, in one isolate.

use super::{Line, Outcome, Request, Response, Tested, Verdict};
use crate::__private::{self as glue, Ending};
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
}

impl<'a, P: Policy> Exchange<'a, P> {
    pub(super) fn begin(tested: &'a mut Tested<P>, request: Request) -> Self {
        let policy = tested.isolate().map_err(|error| error.to_string());
        let mut state = mock::Exchange::new();
        state.request_id = "test-request".into();
        request.arrive(&mut state);
        Exchange { tested, policy, state }
    }

    /// Another policy of this exchange has put this into the bag.
    pub fn bag(mut self, key: &str, value: &str) -> Self {
        self.state.bag.insert(key.into(), (value.into(), false));
        self
    }

    /// What is in the bag.
    pub fn bag_value(&self, key: &str) -> Option<&[u8]> {
        self.state.bag.get(key).map(|(value, _)| value.as_slice())
    }

    /// The request's phases: `on_request`, and `on_request_body` if it asks for the body.
    pub fn request(&mut self) -> Outcome<Request> {
        self.phases(
            (Phase::Request, Moment::Request, glue::on_request),
            (Phase::RequestBody, Moment::RequestBody, glue::on_request_body),
            Request::leave,
        )
    }

    /// The response's phases, for a response of the upstream: `on_response`, and `on_response_body` if it
    /// asks for the body.
    pub fn response(&mut self, response: Response) -> Outcome<Response> {
        response.arrive(&mut self.state);
        self.phases(
            (Phase::Response, Moment::Response, glue::on_response),
            (Phase::ResponseBody, Moment::ResponseBody, glue::on_response_body),
            Response::leave,
        )
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
        head: (Phase, Moment, fn(&mut P) -> Ending),
        body: (Phase, Moment, fn(&mut P) -> Ending),
        leave: fn(&mock::Exchange) -> M,
    ) -> Outcome<M> {
        let mut buffered = false;
        let mut verdict = self.decide(head.0, head.1, head.2);
        if let Ok(Ending::WantBody) = verdict {
            buffered = true;
            verdict = if P::PHASES.contains(&body.0) {
                self.decide(body.0, body.1, body.2)
            } else {
                Err("the policy asked for a body, and has no method for it".into())
            };
            if let Ok(Ending::WantBody) = verdict {
                verdict = Err("the policy asked for a body that it already had".into());
            }
        }
        let verdict = match (verdict, self.state.reply.take()) {
            (Ok(Ending::Reply), Some((head, body))) => Verdict::Reply(Response::local(head, body)),
            (Ok(Ending::Next), _) => Verdict::Next(leave(&self.state)),
            (Err(reason), _) => Verdict::Fail(reason),
            (Ok(_), _) => Verdict::Fail("no reason was given".into()),
        };
        Outcome { verdict, buffered, log: std::mem::take(&mut self.state.log) }
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

    fn hook<T>(&mut self, moment: Moment, hook: fn(&mut P) -> T) -> Option<T> {
        let policy = self.policy.as_mut().ok()?;
        self.state.moment = moment;
        self.state.edits = 0;
        self.state.reply = None;
        let ending = mock::enter(&mut self.tested.process, &mut self.state, || hook(policy));
        self.state.moment = Moment::Outside;
        Some(ending)
    }
}
