//! `mock`: answers as an OpenAPI document says the upstream will.
//!
//! ```toml
//! policies = [{ use = "mock", with = { document = "api.yaml", delay = "50ms" } }]
//! ```
//!
//! The answer is the example of the document (of several, the first by name), or a value made from the schema: an
//! API can be used before it is there. The status is the first of 200 to 299, the media type by the request's `Accept`; a client that wants to
//! see another answer says so (RFC 7240): `Prefer: code=404`, `Prefer: example=empty`. A path that is not
//! described gets 404, a method 405, an answer that is not described 404, a media type 406. With `openapi` before
//! it, requests are checked as well. All answers are made when the configuration is loaded.

mod answers;
mod prefer;
mod sample;

use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use self::answers::{Answers, Made};
use self::prefer::Preferences;
use super::denial::Denial;
use super::description::{Description, Tree};
use super::settings::{Span, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Phase, Phases, Policy, Reply, Seat, Verdict};

/// `mock`: whose answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `document` (required): the path of an OpenAPI document (3.0 or 3.1), relative to the file that names it.
    /// When it changes, or a file that it refers to, it is read again.
    document: String,
    /// `base`: what paths begin with before the ones of the document. Default: the paths of its `servers`.
    #[serde(default)]
    base: Option<String>,
    /// `delay`: how long an answer takes. Default: no time.
    #[serde(default)]
    delay: Option<Span>,
    /// `unknown`: paths and methods that are not described: `"refuse"`, or `"pass"`: they go on. Default
    /// `"refuse"`.
    #[serde(default)]
    unknown: Unknown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    #[default]
    Refuse,
    Pass,
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    let document = materials.folder.join(&settings.document);
    let description = Description::open(&document, settings.base.as_deref(), materials.documents)?;
    let operations = description.operations.iter();
    let operations = operations
        .map(|operation| Answers::read(&description.files, &operation.spot))
        .collect::<Result<_, _>>()
        .map_err(|wrong| description.files.mistake(&wrong))?;
    let delay = settings.delay.map(|Span(delay)| delay);
    Ok(Box::new(Mock { paths: description.paths, operations, delay, unknown: settings.unknown }))
}

struct Mock {
    paths: Tree,
    operations: Vec<Answers>,
    delay: Option<Duration>,
    unknown: Unknown,
}

impl Policy for Mock {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        match self.delay {
            None => self.answer(exchange),
            Some(delay) => Answer::Wait(Box::pin(async move {
                tokio::time::sleep(delay).await;
                match self.answer(exchange) {
                    Answer::Ready(verdict) => verdict,
                    Answer::Wait(later) => later.await,
                }
            })),
        }
    }
}

impl Mock {
    fn answer(&self, exchange: &mut Exchange) -> Answer<'static> {
        match self.find(exchange) {
            Ok(None) => Answer::Ready(Ok(Verdict::Next)),
            Ok(Some(reply)) => {
                exchange.reply = Some(reply);
                Answer::Ready(Ok(Verdict::Reply))
            }
            Err(denial) => denial.answer(exchange),
        }
    }

    /// None: it goes on.
    fn find(&self, exchange: &Exchange) -> Result<Option<Reply>, Denial> {
        let (uri, method) = (exchange.request.uri(), exchange.request.method());
        let Some(found) = self.paths.find(uri.path()) else {
            return match self.unknown {
                Unknown::Pass => Ok(None),
                Unknown::Refuse => Err(not_there("There is nothing here.", "no such path is described")),
            };
        };
        let Some(operation) = found.operation(method).and_then(|number| self.operations.get(number)) else {
            let allow = HeaderValue::try_from(found.allow()).unwrap_or(HeaderValue::from_static(""));
            let detail = "This can't be asked for with this method.";
            let why = "no such method is described";
            return match self.unknown {
                Unknown::Pass => Ok(None),
                Unknown::Refuse => Err(Denial::new(StatusCode::METHOD_NOT_ALLOWED, "mock", detail, why)
                    .header(header::ALLOW, allow)),
            };
        };
        let wanted = Preferences::of(exchange.request.headers());
        let Some(made) = operation.find(wanted.code) else {
            return Err(not_there("No answer of this status is described.", "the status that was preferred"));
        };
        let mut reply = reply(made, &wanted, exchange)?;
        if *method == Method::HEAD {
            reply.body.clear();
        }
        Ok(Some(reply))
    }
}

fn reply(made: &Made, wanted: &Preferences, exchange: &Exchange) -> Result<Reply, Denial> {
    let mut reply = Reply::status(made.status);
    let headers = reply.head.headers_mut();
    for (name, value) in &made.headers {
        headers.append(name.clone(), value.clone());
    }
    if let Some(applied) = wanted.applied() {
        headers.insert(HeaderName::from_static("preference-applied"), applied);
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept, prefer"));
    if made.bodies.is_empty() {
        return Ok(reply);
    }
    let accept = exchange.request.headers().get_all(header::ACCEPT);
    let accept: Vec<_> = accept.iter().filter_map(|line| line.to_str().ok()).collect();
    let Some(body) = prefer::choose(&accept.join(","), &made.bodies, |body| &body.media) else {
        let detail = "There is no answer of a type that is accepted.";
        let why = "no answer of a type in `accept` is described";
        return Err(Denial::new(StatusCode::NOT_ACCEPTABLE, "mock", detail, why));
    };
    let example = match &wanted.example {
        None => body.examples.first(),
        Some(name) => body.examples.iter().find(|example| example.name == *name),
    };
    let Some(example) = example else {
        return Err(not_there("No example of this name is described.", "the example that was preferred"));
    };
    headers.insert(header::CONTENT_TYPE, body.content_type.clone());
    reply.body = example.content.clone();
    Ok(reply)
}

fn not_there(detail: &'static str, why: &'static str) -> Denial {
    Denial::new(StatusCode::NOT_FOUND, "mock", detail, why)
}
