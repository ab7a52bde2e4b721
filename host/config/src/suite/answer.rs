//! `answer` and `fetch` of a step

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use toml::de::DeValue;

use super::content::{Content, fields};
use super::{Fetched, entries};
use crate::route::method;
use crate::section::{Section, section};
use crate::value::{Value, boolean, duration, integer, list, string, table};

section! {
    /// `answer = { status = 200, headers = { server = "x" }, body = "hello" }`: what an upstream answers.
    pub struct Answer(section, to_call: bool) {
        /// `target` (only in `fetch`): it is for calls to this path and query. Default: to all.
        pub target: Option<String> = if to_call { section.optional("target", string) } else { Some(None) },

        /// `method` (only in `fetch`): it is for calls with this method. Default: with any.
        pub method: Option<Method> = if to_call { section.optional("method", method) } else { Some(None) },

        /// `status`: 200 to 599. Default 200.
        pub status: StatusCode = section.or("status", status, StatusCode::OK),

        /// `headers`: names and values; an array is several headers of that name.
        pub headers: Vec<(HeaderName, HeaderValue)> = fields(section, "headers"),

        /// `body`: as in `request`; or `json`. Default: empty.
        pub content: Content = Content::read(section),

        /// `trailers`: what follows the body.
        pub trailers: Vec<(HeaderName, HeaderValue)> = fields(section, "trailers"),

        /// `delay`: how long it takes, 0s to 60s. Default 0s.
        pub delay: Duration = section.or("delay", duration(Duration::ZERO..=Duration::from_secs(60)), Duration::ZERO),

        /// `close`: true goes away without an answer, or in the middle of a body if there is one. Default false.
        pub close: bool = section.or("close", boolean, false),
    }
}

/// `fetch`: those of the section, and for upstreams that it does not name the ones from further out.
pub(super) fn fetched(section: &Section<'_>, outer: &Fetched) -> Option<Fetched> {
    let call = table(|section: &Section<'_>| Answer::read(section, true));
    let named = entries(section, "fetch", |name, value: &Value<'_>| match value.inner {
        DeValue::Array(_) => Some((name.to_owned(), list(&call)(value)?)),
        _ => Some((name.to_owned(), vec![call(value)?])),
    })?;
    let mut fetched = outer.clone();
    fetched.extend(named);
    Some(fetched)
}

pub(super) fn status(value: &Value<'_>) -> Option<StatusCode> {
    StatusCode::from_u16(u16::try_from(integer(200..=599)(value)?).ok()?).ok()
}
