//! What a gRPC client reads: how its call went from trailers, and never from an HTTP status.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use limen_policy::Exchange;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How long the client gives the call: at most eight digits and a unit; nothing if it does not say.
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

/// Says what the gateway or a policy has answered as gRPC does: in trailers, which are in the head
/// where there is nothing else. Headers that policies have added stay.
pub fn settle(exchange: &mut Exchange, body: &Bytes) {
    let head = &mut exchange.response;
    if head.headers().contains_key(GRPC_STATUS) {
        return;
    }
    let status = head.status();
    let message = message(head, body);
    *head.status_mut() = StatusCode::OK;
    let headers = head.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(code(status)));
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert(GRPC_MESSAGE, message);
    }
}

/// By the table of the gRPC project (doc/http-grpc-status-mapping.md); where the gateway knows better
/// what its own status means, by that.
fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        // INTERNAL
        400 => 13,
        // UNAUTHENTICATED
        401 => 16,
        // PERMISSION_DENIED
        403 => 7,
        // UNIMPLEMENTED
        404 | 405 => 12,
        // DEADLINE_EXCEEDED
        408 | 504 => 4,
        // RESOURCE_EXHAUSTED
        413 => 8,
        // UNAVAILABLE
        429 | 502 | 503 => 14,
        // UNKNOWN
        _ => 2,
    }
}

/// The detail of a problem, else the name of the status; escaped as gRPC wants it.
fn message(head: &Response<()>, body: &Bytes) -> String {
    let is_problem =
        head.headers().get(header::CONTENT_TYPE).is_some_and(|it| it == "application/problem+json");
    let problem: Option<serde_json::Value> = is_problem.then(|| serde_json::from_slice(body).ok()).flatten();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")).and_then(|it| it.as_str());
    let text = detail.or(head.status().canonical_reason()).unwrap_or_default();
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' '..=b'~' if byte != b'%' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_have_eight_digits_and_a_unit() {
        let read = |text: &'static str| {
            timeout(&HeaderMap::from_iter([(GRPC_TIMEOUT, HeaderValue::from_static(text))]))
        };
        assert_eq!(read("1S"), Some(Duration::from_secs(1)));
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for odd in ["", "S", "1", "123456789S", "-1S", "1.5S", "+1S", "1s"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }

    #[test]
    fn messages_are_escaped() {
        let mut exchange = Exchange::default();
        *exchange.response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        let problem = HeaderValue::from_static("application/problem+json");
        exchange.response.headers_mut().insert(header::CONTENT_TYPE, problem);
        settle(&mut exchange, &Bytes::from_static("{\"detail\":\"50% é\"}".as_bytes()));
        let headers = exchange.response.headers();
        assert_eq!(
            (exchange.response.status().as_u16(), &headers["grpc-status"]),
            (200, &HeaderValue::from(14))
        );
        assert_eq!(headers["grpc-message"], "50%25 %C3%A9");
    }
}
