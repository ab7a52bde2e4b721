//! `respond` of a route

use std::path::PathBuf;

use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::section::{Section, section};
use crate::value::{Value, integer, readable_file, string};

section! {
    /// `respond = { status = 503, body = "back soon\n" }`: a fixed answer, without an upstream.
    #[derive(PartialEq, Eq)]
    pub struct Respond(section) {
        /// `status`: 200 to 599. Default 200.
        pub status: StatusCode = section.or("status", status, StatusCode::OK),

        /// `body`: the answer's text; or `file`: a file whose content it is, 1 MiB at most, loaded
        /// again when it changes. Default: none. A 204 or 304 has none.
        pub body: FixedBody = body(section, status),

        /// `headers`: names and values, like `{ content-type = "text/html" }`. A `content-type` that
        /// is left out is `text/plain; charset=utf-8` for `body`, and goes by the name's ending for `file`.
        pub headers: Vec<(HeaderName, HeaderValue)> = section.or("headers", headers, Vec::new()),
    }
}

/// What a fixed answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FixedBody {
    Empty,
    Text(String),
    File(PathBuf),
}

fn status(value: &Value<'_>) -> Option<StatusCode> {
    StatusCode::from_u16(u16::try_from(integer(200..=599)(value)?).ok()?).ok()
}

fn body(section: &Section<'_>, status: Option<StatusCode>) -> Option<FixedBody> {
    let text = section.optional("body", string);
    let file = section.optional("file", readable_file);
    let body = match (text?, file?) {
        (None, None) => return Some(FixedBody::Empty),
        (Some(text), None) => FixedBody::Text(text),
        (None, Some(file)) => FixedBody::File(file),
        (Some(_), Some(_)) => return section.fail("two bodies for one answer", "either `body` or `file`"),
    };
    match status {
        Some(StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED) => {
            section.fail("a body for a status that has none", "no `body` and no `file` with 204, 205 and 304")
        }
        _ => Some(body),
    }
}

fn headers(value: &Value<'_>) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let section = value.section()?;
    let headers: Vec<_> = section.entries().map(|(name, value)| one_header(name, &value)).collect();
    headers.into_iter().collect()
}

fn one_header(name: &str, value: &Value<'_>) -> Option<(HeaderName, HeaderValue)> {
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        return value.fail(value.error(format!("not the name of a header: `{name}`")));
    };
    // What says how long a message is belongs to who sends it.
    let framing = [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::TRAILER];
    if framing.contains(&header) {
        let error = value.error(format!("a header that the gateway sets itself: `{name}`"));
        return value.fail(error.expected("headers about the content"));
    }
    let text = value.text("the value of a header")?;
    match HeaderValue::from_str(&text) {
        Ok(it) => Some((header, it)),
        Err(_) => value.fail(value.error("not the value of a header").expected("visible characters")),
    }
}
