//! Refusing a request: what its client reads, and what the log says.

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use serde_json::Value;

use super::settings::SettingsError;
use crate::problem::problem_with;
use crate::{Answer, Astray, Denied, Exchange, Failure, Reply, Verdict};

/// A request that goes no further.
pub(super) struct Denial {
    status: StatusCode,
    /// For the client: never anything of the inside.
    detail: &'static str,
    denied: Denied,
    headers: Vec<(HeaderName, HeaderValue)>,
    members: Vec<(&'static str, Value)>,
}

/// What whoever may too little is told (RFC 6750, section 3.1), in this scheme: it ends with a comma if it has
/// parameters already.
pub(super) fn insufficient(scheme: &str, scopes: &[String]) -> Result<HeaderValue, SettingsError> {
    let is_quotable =
        |scope: &String| scope.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\'));
    if !scopes.iter().all(is_quotable) {
        return Err(SettingsError::new("/scopes", "a scope is one word (RFC 6749, section 3.3)"));
    }
    let scope = match scopes.is_empty() {
        true => String::new(),
        false => format!(", scope=\"{}\"", scopes.join(" ")),
    };
    HeaderValue::try_from(format!("{scheme} error=\"insufficient_scope\"{scope}"))
        .map_err(|_| SettingsError::new("", "it can't be in a header"))
}

impl Denial {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        detail: &'static str,
        why: impl Into<String>,
    ) -> Self {
        Denial {
            status,
            detail,
            denied: Denied { code, why: why.into() },
            headers: Vec::new(),
            members: Vec::new(),
        }
    }

    /// 400: a request that can't be sent where it should.
    pub(super) fn astray(astray: &Astray) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", astray.detail(), astray.why())
    }

    /// 401: it is not known who asks. The challenge says how to tell (RFC 9110, section 11.6.1).
    pub(super) fn unauthorized(challenge: HeaderValue, detail: &'static str, why: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail, why)
            .header(header::WWW_AUTHENTICATE, challenge)
    }

    /// 403: whoever asks, may not.
    pub(super) fn forbidden(detail: &'static str, why: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail, why)
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Answers with it.
    pub(super) fn answer(self, exchange: &mut Exchange) -> Answer<'static> {
        Answer::Ready(self.stage(exchange))
    }

    /// The same, for one that had to wait.
    pub(super) fn stage(self, exchange: &mut Exchange) -> Result<Verdict, Failure> {
        let (mut head, body) = problem_with(self.status, self.detail, &exchange.id, self.members);
        for (name, value) in self.headers {
            head.headers_mut().append(name, value);
        }
        let denied = Some(Box::new(self.denied));
        exchange.reply = Some(Reply { head, body, denied, ..Reply::default() });
        Ok(Verdict::Reply)
    }
}

/// What only `openapi` tells and asks.
#[cfg(feature = "openapi")]
impl Denial {
    /// A further member of the problem (RFC 9457, section 3.2).
    pub(super) fn member(mut self, name: &'static str, value: Value) -> Self {
        self.members.push((name, value));
        self
    }

    /// One word of a fixed list, for metrics.
    pub(super) fn code(&self) -> &'static str {
        self.denied.code
    }

    /// What the log is told.
    pub(super) fn why(&self) -> &str {
        &self.denied.why
    }
}
