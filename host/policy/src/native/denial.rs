//! Refusing a request: what its client reads, and what the log says.

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

use crate::{Answer, Denied, Exchange, Reply, Verdict, problem};

/// A request that goes no further.
pub(super) struct Denial {
    status: StatusCode,
    /// For the client: never anything of the inside.
    detail: &'static str,
    denied: Denied,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Denial {
    pub(super) fn new(
        status: StatusCode,
        code: &'static str,
        detail: &'static str,
        why: impl Into<String>,
    ) -> Self {
        Denial { status, detail, denied: Denied { code, why: why.into() }, headers: Vec::new() }
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
        let (mut head, body) = problem(self.status, self.detail, &exchange.id);
        for (name, value) in self.headers {
            head.headers_mut().append(name, value);
        }
        let denied = Some(Box::new(self.denied));
        exchange.reply = Some(Reply { head, body: body.into(), denied });
        Answer::Ready(Ok(Verdict::Reply))
    }
}
