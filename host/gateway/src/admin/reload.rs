//! `/reload`: what became of the last one, and one more.
//!
//! To whoever accepts `application/x-ndjson` it is told step by step, in lines that are one JSON object each, whose `step`
//! says what it is. The last one is `done`, with the `status` and the `answer` that others get.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::response::Response;
use futures_util::stream;
use http::{HeaderMap, StatusCode, header};
use limen_config::Errors;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::answer::{self, Problem};
use super::pages::{Known, starting};
use super::peer::Peer;
use crate::mistake;
use crate::progress::{self, Step};
use crate::reload::{Ask, Outcome, Waiter};

/// A reload takes as long as compiling does.
const LIMIT: Duration = Duration::from_secs(300);
const LINES: &str = "application/x-ndjson";

pub async fn last(State(admin): Known) -> Response {
    let mut value = json!({ "applied": admin.reloads.applied(), "refused": admin.reloads.refused() });
    if let (Some(last), Some(value)) = (admin.reloads.last(), value.as_object_mut()) {
        value.insert("last".to_owned(), outcome(&last));
    }
    answer::json(&value)
}

pub async fn again(State(admin): Known, Extension(peer): Extension<Peer>, headers: HeaderMap) -> Response {
    let Some(serving) = admin.serving.get() else { return starting() };
    let ((steps, told), (done, outcome)) = (progress::listening(), oneshot::channel());
    // The reloader is gone only at the end of the process.
    let _ = serving.ask.send(Ask::Reload(peer.who(), Some(Waiter { steps, done })));
    let end = end(outcome);
    match wants_lines(&headers) {
        true => answer::stream(LINES, Body::from_stream(lines(told, end))),
        false => end.await.map_or_else(Problem::answer, |value| answer::json(&value)),
    }
}

/// Whether it is among what is accepted, and not refused there (`q=0`).
fn wants_lines(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|accepted| accepted.to_str().ok());
    accepted.flat_map(|accepted| accepted.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(LINES));
        let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
        is_named && quality.and_then(|quality| quality.parse::<f32>().ok()) != Some(0.0)
    })
}

/// What becomes of it.
async fn end(outcome: oneshot::Receiver<Arc<Outcome>>) -> Result<Value, Problem> {
    match tokio::time::timeout(LIMIT, outcome).await {
        Ok(Ok(last)) => match &last.result {
            Ok(_) => Ok(self::outcome(&last)),
            Err(_) => Err(Problem {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                detail: "the new configuration is refused, the running one serves on".to_owned(),
                more: self::outcome(&last),
            }),
        },
        Ok(Err(_)) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway ends")),
        Err(_) => Err(Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "it is still reloading: GET /reload will tell what became of it",
        )),
    }
}

/// Each step as it comes, and then the end.
fn lines(
    told: mpsc::Receiver<Step>,
    end: impl Future<Output = Result<Value, Problem>> + Send + 'static,
) -> impl stream::Stream<Item = Result<String, Infallible>> + Send {
    let waiting = Some((told, Box::pin(end)));
    stream::unfold(waiting, async |waiting| {
        let (mut told, mut end) = waiting?;
        tokio::select! {
            // What came before the end is told before it.
            biased;
            Some(step) = told.recv() => Some((Ok(line(&step)), Some((told, end)))),
            end = &mut end => {
                let (status, answer) = match end {
                    Ok(answer) => (StatusCode::OK, answer),
                    Err(problem) => (problem.status, problem.json()),
                };
                let done = json!({ "step": "done", "status": status.as_u16(), "answer": answer });
                Some((Ok(line(&done)), None))
            }
        }
    })
}

fn line(value: &impl Serialize) -> String {
    // What we write of our own has no keys that are none.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

pub fn outcome(outcome: &Outcome) -> Value {
    let kept_back = outcome
        .result
        .iter()
        .flatten()
        .map(|kept| json!({ "plugin": kept.plugin, "live": kept.live, "because": kept.because }));
    let errors = outcome.result.as_ref().err().into_iter().flat_map(Errors::iter).map(mistake);
    json!({
        "at": answer::moment(outcome.at),
        "took_ms": outcome.took.as_millis() as u64,
        "ok": outcome.result.is_ok(),
        "kept_back": kept_back.collect::<Value>(),
        "errors": errors.collect::<Value>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn lines_are_for_those_who_accept_them() {
        let wants = |accepted: &[&'static str]| {
            let accepted = accepted.iter().map(|it| (header::ACCEPT, HeaderValue::from_static(it)));
            wants_lines(&accepted.collect())
        };
        for accepted in [
            &["application/x-ndjson, application/json;q=0.9"][..],
            &["text/html", "Application/X-NDJSON; q=0.1"],
        ] {
            assert!(wants(accepted), "{accepted:?}");
        }
        for accepted in [&[][..], &["*/*"], &["application/x-ndjson;q=0"], &["application/x-ndjsons"]] {
            assert!(!wants(accepted), "{accepted:?}");
        }
    }
}
