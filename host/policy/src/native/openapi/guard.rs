//! What the policy does with a request, its body and its answer.

use std::path::Path;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use super::answers::Answers;
use super::operation::{Guarded, Plan};
use super::report::Reports;
use super::schema::{Reading, Schemas, Validators};
use super::violation::Violations;
use super::{Mode, Settings, Strictness};
use crate::native::denial::Denial;
use crate::native::description::{Description, Documents, Found, Stamp, Tree};
use crate::native::settings::SettingsError;
use crate::{Answer, Exchange, Failure, FailureKind, Phase, Phases, Seat, Side, Verdict};

/// A document that is ready to check with.
pub(super) struct Guard {
    settings: Settings,
    operations: Vec<Guarded>,
    paths: Tree,
    validators: Validators,
    reports: Arc<Reports>,
}

/// What is kept of a request until its body, or its answer, is there.
struct Asked {
    operation: usize,
    violations: Violations,
}

impl Guard {
    pub(super) fn open(
        settings: Settings,
        document: &Path,
        documents: &Documents,
        reports: Arc<Reports>,
    ) -> Result<(Self, Vec<Stamp>), SettingsError> {
        let description = Description::open(document, settings.base.as_deref(), documents)?;
        let reading = Reading {
            version: description.version,
            formats: settings.formats,
            lenient: settings.read_only == Strictness::Pass,
        };
        let mut schemas = Schemas::new(&description.files, reading);
        let guarded = description.operations.iter();
        let guarded = guarded
            .map(|operation| Guarded::read(&description, operation, &mut schemas, settings.responses))
            .collect::<Result<Vec<_>, _>>();
        let compiled = guarded.and_then(|guarded| Ok((guarded, schemas.compile()?)));
        let (operations, validators) = compiled.map_err(|wrong| description.files.mistake(&wrong))?;
        let stamps = description.files.stamps();
        Ok((Guard { settings, operations, paths: description.paths, validators, reports }, stamps))
    }

    pub(super) fn phases(&self) -> Phases {
        let mut phases = Phases::default().with(Phase::Request);
        if self.operations.iter().any(Guarded::reads_bodies) {
            phases = phases.with(Phase::RequestBody);
        }
        if self.settings.responses {
            phases = phases.with(Phase::Response);
            let mut answers = self.operations.iter().filter_map(|operation| operation.answers.as_ref());
            if answers.any(Answers::reads_bodies) {
                phases = phases.with(Phase::ResponseBody);
            }
        }
        phases
    }

    pub(super) fn body_limit(&self) -> u64 {
        self.settings.body.0
    }

    pub(super) fn call(&self, phase: Phase, exchange: &mut Exchange, seat: &mut Seat) -> Answer<'static> {
        match phase {
            Phase::Request => self.request(exchange, seat),
            Phase::RequestBody => self.request_body(exchange, seat),
            Phase::Response => self.response(exchange, seat),
            _ => self.response_body(exchange, seat),
        }
    }

    fn request(&self, exchange: &mut Exchange, seat: &mut Seat) -> Answer<'static> {
        let uri = exchange.request.uri().clone();
        let Some(found) = self.paths.find(uri.path()) else { return self.unknown_path(exchange) };
        let Some(number) = found.operation(exchange.request.method()) else {
            return self.unknown_method(exchange, &found);
        };
        let Some(operation) = self.operations.get(number) else { return Answer::Ready(Ok(Verdict::Next)) };
        let mut violations = Violations::new(self.settings.errors);
        let unknown_query = self.settings.unknown_query == Strictness::Refuse;
        operation.check_head(exchange, &found, unknown_query, &self.validators, &mut violations);
        let verdict = match operation.plan(exchange, &mut violations) {
            Plan::WrongType(types) => return self.wrong_type(exchange, operation, &types),
            Plan::Read if !self.may_read(exchange, Side::Request) => Verdict::Next,
            Plan::Read if is_encoded(exchange, Side::Request) => return self.encoded(exchange, operation),
            Plan::Read => Verdict::WantBody,
            Plan::Pass => Verdict::Next,
        };
        if verdict == Verdict::Next && !violations.is_empty() {
            let answer = self.refuse(exchange, operation, &violations);
            if self.settings.mode == Mode::Refuse {
                return answer;
            }
            violations = Violations::new(self.settings.errors);
        }
        if verdict == Verdict::WantBody || operation.answers.is_some() {
            *seat = Some(Box::new(Asked { operation: number, violations }));
        }
        Answer::Ready(Ok(verdict))
    }

    fn request_body(&self, exchange: &mut Exchange, seat: &mut Seat) -> Answer<'static> {
        let Some((asked, operation)) = self.asked(seat) else { return nobody_asked() };
        let bytes = exchange.request_body.clone().unwrap_or_default();
        let violations = &mut asked.violations;
        if let Some(types) = operation.check_body(exchange, &bytes, &self.validators, violations) {
            return self.wrong_type(exchange, operation, &types);
        }
        match violations.is_empty() {
            true => Answer::Ready(Ok(Verdict::Next)),
            false => {
                let violations = std::mem::replace(violations, Violations::new(self.settings.errors));
                self.refuse(exchange, operation, &violations)
            }
        }
    }

    fn response(&self, exchange: &mut Exchange, seat: &mut Seat) -> Answer<'static> {
        let Some((asked, operation)) = self.asked(seat) else { return Answer::Ready(Ok(Verdict::Next)) };
        let Some(answers) = operation.answers.as_ref().filter(|_| !exchange.response_is_local) else {
            return Answer::Ready(Ok(Verdict::Next));
        };
        let reads = answers.check_head(exchange, &self.validators, &mut asked.violations);
        let may_read = self.may_read(exchange, Side::Response) && *exchange.request.method() != Method::HEAD;
        match reads && may_read {
            true => Answer::Ready(Ok(Verdict::WantBody)),
            false if asked.violations.is_empty() => Answer::Ready(Ok(Verdict::Next)),
            false => self.refuse_answer(exchange, operation, &asked.violations),
        }
    }

    fn response_body(&self, exchange: &mut Exchange, seat: &mut Seat) -> Answer<'static> {
        let Some((asked, operation)) = self.asked(seat) else { return nobody_asked() };
        let bytes = exchange.response_body.clone().unwrap_or_default();
        if let Some(answers) = &operation.answers {
            answers.check_body(exchange, &bytes, &self.validators, &mut asked.violations);
        }
        match asked.violations.is_empty() {
            true => Answer::Ready(Ok(Verdict::Next)),
            false => self.refuse_answer(exchange, operation, &asked.violations),
        }
    }

    fn asked<'s>(&self, seat: &'s mut Seat) -> Option<(&'s mut Asked, &Guarded)> {
        let asked = seat.as_mut()?.downcast_mut::<Asked>()?;
        let operation = self.operations.get(asked.operation)?;
        Some((asked, operation))
    }

    /// Who only reports must not be the reason for a refusal: neither for a body's length nor for its encoding.
    fn may_read(&self, exchange: &Exchange, side: Side) -> bool {
        let length = exchange.content_length(side);
        self.settings.mode == Mode::Refuse
            || (length.is_some_and(|length| length <= self.settings.body.0) && !is_encoded(exchange, side))
    }

    fn unknown_path(&self, exchange: &mut Exchange) -> Answer<'static> {
        if self.settings.unknown == Strictness::Pass {
            return Answer::Ready(Ok(Verdict::Next));
        }
        let why = "the document describes no such path";
        let denial = Denial::new(StatusCode::NOT_FOUND, "openapi_path", "There is nothing here.", why);
        self.deny(exchange, "", denial)
    }

    fn unknown_method(&self, exchange: &mut Exchange, found: &Found<'_, '_>) -> Answer<'static> {
        if self.settings.unknown == Strictness::Pass {
            return Answer::Ready(Ok(Verdict::Next));
        }
        let why = format!("the document describes no {} there", exchange.request.method());
        let detail = "This can't be asked for with this method.";
        let allow = HeaderValue::try_from(found.allow()).unwrap_or(HeaderValue::from_static(""));
        let denial = Denial::new(StatusCode::METHOD_NOT_ALLOWED, "openapi_method", detail, why);
        self.deny(exchange, "", denial.header(header::ALLOW, allow))
    }

    fn wrong_type(&self, exchange: &mut Exchange, operation: &Guarded, types: &str) -> Answer<'static> {
        let why = format!("a body of another type than {types}");
        let detail = "The body is of no type that is taken here.";
        let denial = Denial::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "openapi_media_type", detail, why);
        // RFC 9110, section 15.5.16.
        let accept = HeaderValue::try_from(types).unwrap_or(HeaderValue::from_static("*/*"));
        self.deny(exchange, &operation.name, denial.header(header::ACCEPT, accept))
    }

    fn encoded(&self, exchange: &mut Exchange, operation: &Guarded) -> Answer<'static> {
        let detail = "An encoded body is not taken here.";
        let why = "a body that is encoded can't be checked";
        let denial = Denial::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "openapi_media_type", detail, why);
        let denial = denial.header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        self.deny(exchange, &operation.name, denial)
    }

    fn refuse(
        &self,
        exchange: &mut Exchange,
        operation: &Guarded,
        violations: &Violations,
    ) -> Answer<'static> {
        let status = StatusCode::from_u16(self.settings.status).unwrap_or(StatusCode::BAD_REQUEST);
        let detail = "The request is not as the API's description says it has to be.";
        let why = format!("not a good request for {}: {violations}", operation.name);
        let denial = Denial::new(status, "openapi", detail, why).member("errors", violations.told());
        self.deny(exchange, &operation.name, denial)
    }

    fn refuse_answer(
        &self,
        exchange: &mut Exchange,
        operation: &Guarded,
        violations: &Violations,
    ) -> Answer<'static> {
        let detail = "The answer is not one that may be given.";
        let why = format!("not a good answer of {}: {violations}", operation.name);
        let denial = Denial::new(StatusCode::BAD_GATEWAY, "openapi_response", detail, why);
        self.deny(exchange, &operation.name, denial)
    }

    /// Refuses, or tells that it would.
    fn deny(&self, exchange: &mut Exchange, operation: &str, denial: Denial) -> Answer<'static> {
        match self.settings.mode {
            Mode::Refuse => denial.answer(exchange),
            Mode::Report => {
                exchange.would_refuse(denial.code());
                self.reports.tell(exchange, operation, denial.why());
                Answer::Ready(Ok(Verdict::Next))
            }
        }
    }
}

fn is_encoded(exchange: &Exchange, side: Side) -> bool {
    let encoding = exchange.headers(side).get(header::CONTENT_ENCODING);
    encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// A body that was not wanted: it does not come to that.
fn nobody_asked() -> Answer<'static> {
    Answer::Ready(Err(Failure::new(FailureKind::Contract, "a body that was not asked for")))
}
