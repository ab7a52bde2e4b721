//! One operation: what its requests have to be.

use bytes::Bytes;
use http::header;
use serde_json::Value;

use super::answers::Answers;
use super::media::Content;
use super::pairs::{self, Pairs};
use super::parameter::{Parameter, Source};
use super::schema::{Schemas, Validators, Way};
use super::violation::{Place, Violations};
use crate::native::description::{Description, Found, Operation, Wrong};
use crate::{Exchange, Side};

/// An operation, ready to check with.
pub(super) struct Guarded {
    /// For the log.
    pub(super) name: String,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    /// None: answers are not checked.
    pub(super) answers: Option<Answers>,
}

struct Body {
    required: bool,
    content: Content,
}

/// What is to be done about a request's body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// It goes by.
    Pass,
    /// It has to be read.
    Read,
    /// It is of no type that the operation takes; which those are.
    WrongType(String),
}

impl Guarded {
    pub(super) fn read(
        description: &Description,
        operation: &Operation,
        schemas: &mut Schemas<'_>,
        answers: bool,
    ) -> Result<Self, Wrong> {
        let files = &description.files;
        let mut parameters = Vec::new();
        for spot in &operation.parameters {
            parameters.extend(Parameter::read(files, schemas, spot)?);
        }
        let at = operation.spot.at("requestBody");
        let body = match files.get(&at) {
            None => None,
            Some(_) => {
                let (spot, body) = files.follow(&at)?;
                let required = body.get("required").and_then(Value::as_bool).unwrap_or(false);
                let content = Content::read(files, schemas, Way::Request, &spot)?;
                content.map(|content| Body { required, content })
            }
        };
        let answers = match answers {
            true => Some(Answers::read(files, schemas, &operation.spot)?),
            false => None,
        };
        Ok(Guarded { name: operation.name(files), parameters, body, answers })
    }

    /// Whether some request's body is read.
    pub(super) fn reads_bodies(&self) -> bool {
        self.body.as_ref().is_some_and(|body| body.content.is_read())
    }

    /// Checks all but the body.
    pub(super) fn check_head(
        &self,
        exchange: &Exchange,
        found: &Found<'_, '_>,
        unknown_query: bool,
        validators: &Validators,
        violations: &mut Violations,
    ) {
        if self.parameters.is_empty() && !unknown_query {
            return;
        }
        let headers = exchange.request.headers();
        let query = Pairs::of_query(exchange.request.uri().query().unwrap_or_default());
        let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
        let cookies = Pairs::of_cookies(lines);
        if query.too_many || cookies.too_many {
            let place = if query.too_many { Place::Query("*".into()) } else { Place::Cookie("*".into()) };
            return violations.add(&place, format!("there are more than {}", pairs::MOST));
        }
        let source = Source { found: Some(found), headers, query: &query, cookies: &cookies };
        for parameter in &self.parameters {
            parameter.check(&source, validators, violations);
        }
        if unknown_query {
            for name in query.names() {
                if !self.parameters.iter().any(|parameter| parameter.takes(name)) {
                    violations.add(&Place::Query(name.to_owned()), "there is no such parameter");
                }
            }
        }
    }

    /// What its head says of a request's body.
    pub(super) fn plan(&self, exchange: &Exchange, violations: &mut Violations) -> Plan {
        let Some(body) = &self.body else { return Plan::Pass };
        match (exchange.content_length(Side::Request), content_type(exchange, Side::Request)) {
            (Some(0), _) => {
                body.is_missing(violations);
                Plan::Pass
            }
            (_, Some(written)) => match body.content.of(written) {
                None => Plan::WrongType(body.content.listed()),
                Some(media) if media.reads(written) => Plan::Read,
                Some(_) => Plan::Pass,
            },
            (Some(_), None) => Plan::WrongType(body.content.listed()),
            // Most likely there is none.
            (None, None) if body.content.is_read() => Plan::Read,
            (None, None) => Plan::Pass,
        }
    }

    /// Checks a body that was read; answers which types there are if it is of another one.
    pub(super) fn check_body(
        &self,
        exchange: &Exchange,
        bytes: &Bytes,
        validators: &Validators,
        violations: &mut Violations,
    ) -> Option<String> {
        let body = self.body.as_ref()?;
        if bytes.is_empty() {
            body.is_missing(violations);
            return None;
        }
        let written = content_type(exchange, Side::Request).unwrap_or_default();
        let Some(media) = body.content.of(written) else { return Some(body.content.listed()) };
        media.check(written, bytes, validators, violations);
        None
    }
}

impl Body {
    fn is_missing(&self, violations: &mut Violations) {
        if self.required {
            violations.add(&Place::Body, "it is required, and is not there");
        }
    }
}

pub(super) fn content_type(exchange: &Exchange, side: Side) -> Option<&str> {
    exchange.headers(side).get(header::CONTENT_TYPE)?.to_str().ok()
}
