//! What a client reads when it is refused: problem+json (RFC 9457).

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::Value;

use crate::RequestId;

/// The header that carries the request's id on every answer of the gateway's own.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A whole answer. `detail` is for the client: never anything of the inside.
pub fn problem(status: StatusCode, detail: &str, id: &RequestId) -> (Response<()>, Bytes) {
    problem_with(status, detail, id, Vec::new())
}

/// The same with further members (section 3.2).
pub(crate) fn problem_with(
    status: StatusCode,
    detail: &str,
    id: &RequestId,
    members: Vec<(&'static str, Value)>,
) -> (Response<()>, Bytes) {
    let id = id.to_string();
    let mut body = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "detail": detail,
        "request_id": id,
    });
    if let Value::Object(body) = &mut body {
        body.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
    let mut head = Response::new(());
    *head.status_mut() = status;
    let headers = head.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(REQUEST_ID, id);
    }
    // A line of its own, where it is read in a terminal.
    (head, Bytes::from(format!("{body}\n")))
}
