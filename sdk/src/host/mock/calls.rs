//! `fetch`: the upstreams that a test has put there.

use std::collections::BTreeMap;
use std::fmt;

use crate::fetch::FetchError;
use crate::testing::{Request, Response};

/// What a test has an upstream answer.
pub(crate) type Answering = Box<dyn FnMut(&Request) -> Result<Response, FetchError>>;

/// The upstreams that are granted, and what they were asked.
#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) upstreams: BTreeMap<String, Answering>,
    /// Each with the name of the upstream as its authority.
    pub(crate) made: Vec<Request>,
}

impl Calls {
    pub(crate) const fn new() -> Self {
        Calls { upstreams: BTreeMap::new(), made: Vec::new() }
    }

    fn answer(&mut self, call: Request) -> Result<Response, FetchError> {
        let upstream = self.upstreams.get_mut(&call.authority).ok_or(FetchError::Denied)?;
        let valid = call.path.starts_with('/') && super::head::is_token(&call.method);
        if !valid || call.method == "CONNECT" {
            return Err(FetchError::Invalid);
        }
        let answer = upstream(&call);
        self.made.push(call);
        answer
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("made", &self.made).finish_non_exhaustive()
    }
}

pub(crate) mod fetch {
    use std::cell::{Cell, RefCell};

    use super::super::{Head, current};
    use crate::EditError;
    use crate::fetch::FetchError;
    use crate::testing::{Request, Response, request};

    /// What a call can't have, beside what no edit can.
    const CARRIED: [&str; 6] =
        ["expect", "proxy-authenticate", "proxy-authorization", "traceparent", "tracestate", "via"];

    #[derive(Debug)]
    pub(crate) struct Outgoing(RefCell<(Request, Head)>);

    #[derive(Debug)]
    pub(crate) struct Incoming {
        answer: Response,
        read: Cell<usize>,
    }

    pub(crate) fn outgoing(upstream: &str, method: &str, path: &str) -> Outgoing {
        Outgoing(RefCell::new((request(method, path).authority(upstream), Head::default())))
    }

    pub(crate) fn header(call: &Outgoing, name: &str, value: &str) -> Result<(), EditError> {
        if CARRIED.iter().any(|carried| carried.eq_ignore_ascii_case(name)) {
            return Err(EditError::Forbidden);
        }
        call.0.borrow_mut().1.add(name, value)
    }

    pub(crate) fn body(call: &Outgoing, data: &[u8]) -> Result<(), EditError> {
        if data.len() > current(|process, _| process.body_limit) {
            return Err(EditError::TooLarge);
        }
        call.0.borrow_mut().0.body = data.to_vec();
        Ok(())
    }

    /// Time stands still in a test.
    pub(crate) fn timeout_ms(_: &Outgoing, _: u32) {}

    pub(crate) fn send(call: &Outgoing) -> Result<Incoming, FetchError> {
        let (mut call, head) = call.0.borrow().clone();
        call.headers = head.fields;
        let answer = current(|process, _| process.calls.answer(call))?;
        Ok(Incoming { answer, read: Cell::new(0) })
    }

    pub(crate) fn send_all(calls: &[&Outgoing]) -> Vec<Result<Incoming, FetchError>> {
        calls.iter().map(|call| send(call)).collect()
    }

    pub(crate) fn status(answer: &Incoming) -> u16 {
        answer.answer.status
    }

    pub(crate) fn answer_header(answer: &Incoming, name: &str) -> Option<String> {
        answer.answer.value(name).map(Into::into)
    }

    pub(crate) fn header_values(answer: &Incoming, name: &str) -> Vec<Vec<u8>> {
        let fields = answer.answer.headers.iter();
        let named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.clone()).collect()
    }

    pub(crate) fn read(answer: &Incoming, max: u32) -> Result<Vec<u8>, FetchError> {
        let limit = current(|process, _| process.body_limit);
        let body: &[u8] = &answer.answer.body;
        if body.len() > limit {
            return Err(FetchError::TooLarge);
        }
        let start = answer.read.get();
        let end = start.saturating_add(max.max(1) as usize).min(body.len());
        answer.read.set(end);
        Ok(body.get(start..end).unwrap_or_default().to_vec())
    }

    pub(crate) fn answer_body(answer: &Incoming) -> Result<Vec<u8>, FetchError> {
        read(answer, u32::MAX)
    }
}
