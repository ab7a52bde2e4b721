//! The kinds of answers that the admin listener has.

use std::time::SystemTime;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// Pretty, as people read it too.
pub fn json(value: &Value) -> Response {
    with_type(StatusCode::OK, "application/json", format!("{value:#}\n"))
}

pub fn text(status: StatusCode, text: impl Into<String>) -> Response {
    with_type(status, "text/plain; charset=utf-8", text.into())
}

pub fn html(text: String) -> Response {
    with_type(StatusCode::OK, "text/html; charset=utf-8", text)
}

/// Written piece by piece.
pub fn stream(kind: &'static str, pieces: Body) -> Response {
    with_type(StatusCode::OK, kind, pieces)
}

pub fn problem(status: StatusCode, detail: &str) -> Response {
    Problem::new(status, detail).answer()
}

/// What went wrong (RFC 9457).
pub struct Problem {
    pub status: StatusCode,
    pub detail: String,
    /// What more there is to say.
    pub more: Value,
}

impl Problem {
    pub fn new(status: StatusCode, detail: &str) -> Self {
        Problem { status, detail: detail.to_owned(), more: Value::Null }
    }

    pub fn answer(self) -> Response {
        let (status, problem) = (self.status, self.json());
        with_type(status, "application/problem+json", format!("{problem:#}\n"))
    }

    pub fn json(self) -> Value {
        let Problem { status, detail, more } = self;
        let mut problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": detail,
        });
        if let (Some(problem), Value::Object(more)) = (problem.as_object_mut(), more) {
            problem.extend(more);
        }
        problem
    }
}

pub fn with_type(status: StatusCode, kind: &'static str, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // What it shows is of this moment, and is to be shown as what it is.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, nothing);
    response
}

/// As RFC 3339 has it: `2026-02-03T04:05:06Z`.
pub fn moment(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = ((seconds / 86_400) as i64, seconds % 86_400);
    // Days to a date: Howard Hinnant, "chrono-compatible low-level date algorithms".
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(moment(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
