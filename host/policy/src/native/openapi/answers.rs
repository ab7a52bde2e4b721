//! `responses`: what the answers of an operation have to be.

use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::media::Content;
use super::operation::content_type;
use super::pairs::Pairs;
use super::parameter::{Parameter, Source};
use super::schema::{Schemas, Validators, Way};
use super::violation::{Place, Violations};
use crate::native::description::{Files, Spot, Wrong};
use crate::{Exchange, Side};

/// Answers by their status.
pub(super) struct Answers(Vec<(Statuses, Answer)>);

/// A key of `responses`; the more exact one goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Statuses {
    One(u16),
    /// "4XX" is 4.
    Class(u16),
    Default,
}

struct Answer {
    headers: Vec<Parameter>,
    content: Option<Content>,
}

impl Answers {
    pub(super) fn read(files: &Files, schemas: &mut Schemas<'_>, operation: &Spot) -> Result<Self, Wrong> {
        let spot = operation.at("responses");
        let mut all = Vec::new();
        let keys = files.get(&spot).and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key);
        for key in keys.filter(|key| !key.starts_with("x-")) {
            let (at, written) = files.follow(&spot.at(key))?;
            let statuses = Statuses::read(key).ok_or_else(|| spot.at(key).is_wrong("not a status"))?;
            let mut headers = Vec::new();
            for name in written.get("headers").and_then(Value::as_object).into_iter().flatten().map(|it| it.0)
            {
                let (at, _) = files.follow(&at.at("headers").at(name))?;
                headers.extend(Parameter::header(files, schemas, name, &at)?);
            }
            let content = Content::read(files, schemas, Way::Response, &at)?;
            all.push((statuses, Answer { headers, content }));
        }
        all.sort_by_key(|(statuses, _)| *statuses);
        Ok(Answers(all))
    }

    /// Whether some body is read.
    pub(super) fn reads_bodies(&self) -> bool {
        self.0.iter().any(|(_, answer)| answer.content.as_ref().is_some_and(Content::is_read))
    }

    fn of(&self, status: StatusCode) -> Option<&Answer> {
        self.0.iter().find(|(statuses, _)| statuses.have(status)).map(|(_, answer)| answer)
    }

    /// Checks all but the body; answers whether that has to be read.
    pub(super) fn check_head(
        &self,
        exchange: &Exchange,
        validators: &Validators,
        violations: &mut Violations,
    ) -> bool {
        let status = exchange.response.status();
        // It says nothing but that what the client has is good (RFC 9110, section 15.4.5).
        if status == StatusCode::NOT_MODIFIED {
            return false;
        }
        let Some(answer) = self.of(status) else {
            // Who answers so says already that something is wrong.
            if !status.is_server_error() {
                violations.add(&Place::Status, format!("{} is not described", status.as_u16()));
            }
            return false;
        };
        let (query, cookies) = (Pairs::of_query(""), Pairs::of_query(""));
        let headers = exchange.response.headers();
        let source = Source { found: None, headers, query: &query, cookies: &cookies };
        for header in &answer.headers {
            header.check(&source, validators, violations);
        }
        let is_empty = exchange.content_length(Side::Response) == Some(0) || status == StatusCode::NO_CONTENT;
        let Some(content) = answer.content.as_ref().filter(|_| !is_empty) else { return false };
        let Some(written) = content_type(exchange, Side::Response) else { return content.is_read() };
        match content.of(written) {
            Some(media) => media.reads(written),
            None => {
                let place = Place::Header("content-type".into());
                violations.add(&place, format!("it is none of these: {}", content.listed()));
                false
            }
        }
    }

    pub(super) fn check_body(
        &self,
        exchange: &Exchange,
        bytes: &Bytes,
        validators: &Validators,
        violations: &mut Violations,
    ) {
        let content = self.of(exchange.response.status()).and_then(|answer| answer.content.as_ref());
        let Some(content) = content.filter(|_| !bytes.is_empty()) else { return };
        let written = content_type(exchange, Side::Response).unwrap_or_default();
        match content.of(written) {
            Some(media) => media.check(written, bytes, validators, violations),
            None => violations.add(&Place::Header("content-type".into()), "it is not there"),
        }
    }
}

impl Statuses {
    fn read(key: &str) -> Option<Self> {
        if key == "default" {
            return Some(Statuses::Default);
        }
        match key.strip_suffix("XX").or_else(|| key.strip_suffix("xx")) {
            Some(class) => class.parse().ok().filter(|class| (1..=5).contains(class)).map(Statuses::Class),
            None => key.parse().ok().filter(|status| (100..=599).contains(status)).map(Statuses::One),
        }
    }

    fn have(self, status: StatusCode) -> bool {
        match self {
            Statuses::One(one) => one == status.as_u16(),
            Statuses::Class(class) => class == status.as_u16() / 100,
            Statuses::Default => true,
        }
    }
}
