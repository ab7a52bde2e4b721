//! What stands in when the upstream has no good answer: another upstream, or a fixed answer.

use std::pin::Pin;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use limen_config::{Fallback as Terms, StandIn, Trouble};

use crate::body::ResponseBody;
use crate::refusal::Fault;

use super::super::attempt::Failed;
use super::super::{Answer, Outgoing, Upstream};
use super::Exchange;

pub struct Fallback {
    on: Vec<Trouble>,
    by: By,
}

enum By {
    /// The upstream of that name.
    Upstream(String),
    Answer {
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    },
}

impl Fallback {
    pub fn new(terms: &Terms) -> Self {
        let by = match &terms.stand_in {
            StandIn::Upstream { name, place: _ } => By::Upstream(name.clone()),
            StandIn::Answer { status, headers, body } => {
                let mut map: HeaderMap = headers.iter().cloned().collect();
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                map.entry(header::CONTENT_TYPE).or_insert(text);
                By::Answer { status: *status, headers: map, body: Bytes::copy_from_slice(body.bytes()) }
            }
        };
        Fallback { on: terms.on.clone(), by }
    }

    pub fn is_upstream(&self) -> bool {
        matches!(self.by, By::Upstream(_))
    }

    /// The answer, or what stands in for it.
    pub async fn stand_in(
        &self,
        exchange: &Exchange<'_>,
        answered: Result<Answer, Box<Failed>>,
        others: &[Upstream],
    ) -> Result<Answer, Fault> {
        let trouble = match &answered {
            Ok(answer) => Some(Trouble::Status(answer.head.status())),
            Err(failed) => failed.trouble,
        };
        if !trouble.is_some_and(|trouble| self.on.iter().any(|on| on.covers(trouble))) {
            return answered.map_err(|failed| failed.fault);
        }
        let Exchange { upstream, on, client, attempts, tries, original } = exchange;
        let other = match &self.by {
            By::Answer { status, headers, body } => {
                self.tell(upstream, &answered);
                let mut head = Response::new(());
                *head.status_mut() = *status;
                *head.headers_mut() = headers.clone();
                return Ok(Answer { head, body: ResponseBody::Full(body.clone().into()) });
            }
            By::Upstream(name) => {
                others.iter().enumerate().find(|(_, other)| other.shared.terms.name == *name)
            }
        };
        let (Some((number, other)), true) = (other, original.may_repeat(&on.retries)) else {
            return answered.map_err(|failed| failed.fault);
        };
        let Some(request) = original.next() else { return answered.map_err(|failed| failed.fault) };
        self.tell(upstream, &answered);
        if let Ok(answer) = answered {
            answer.body.discard();
        }
        let attempts = attempts.map(|attempts| attempts.elsewhere(number));
        let asked: Pin<Box<dyn Future<Output = _>>> =
            Box::pin(other.send(Outgoing { request, client, attempts, tries: *tries, others }));
        asked.await
    }

    fn tell(&self, upstream: &Upstream, answered: &Result<Answer, Box<Failed>>) {
        upstream.counts().fell_back();
        let name = upstream.shared.terms.name.as_str();
        match answered {
            Ok(answer) => {
                let status = answer.head.status().as_u16();
                tracing::warn!(upstream = name, status, "its fallback answers");
            }
            Err(failed) => tracing::warn!(upstream = name, "its fallback answers: {}", failed.fault.reason),
        }
    }
}
