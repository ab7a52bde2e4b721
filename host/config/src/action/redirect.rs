//! `redirect` of a route

use http::StatusCode;
use toml::de::DeValue;

use super::template::Template;
use crate::RoutePath;
use crate::section::section;
use crate::value::{Value, choice, whole};

section! {
    /// `redirect = { to = "https://www.example.com{path}", status = 308 }`: sends clients elsewhere.
    #[derive(PartialEq, Eq)]
    pub struct Redirect(section, path: Option<&RoutePath>) {
        /// `to` (required): a path ("/new/{rest}") or a URL. `{name}` is a parameter of the route's
        /// path, `/{rest}` what `/**` stood for, `{path}` all of it, and in the place of a URL's host
        /// `{host}` is the host that was asked for, without its port:
        /// "https://{host}{path}". All as it was sent; a path can't lead to another host.
        pub to: Template = section.required("to", |value| Template::location(value, path)),

        /// `status`: 301, 302, 303, 307 or 308. After 301, 302 and 303 browsers ask with GET.
        /// Default 308.
        pub status: StatusCode = section.or("status", status, StatusCode::PERMANENT_REDIRECT),

        /// `query`: "keep" adds the request's own to `to`, "drop" does not. Default "keep".
        pub query: RedirectQuery = section.or("query", choice(QUERIES), RedirectQuery::Keep),
    }
}

/// What becomes of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectQuery {
    Keep,
    Drop,
}

const QUERIES: &[(&str, RedirectQuery)] = &[("keep", RedirectQuery::Keep), ("drop", RedirectQuery::Drop)];

fn status(value: &Value<'_>) -> Option<StatusCode> {
    const EXPECTED: &str = "301, 302, 303, 307 or 308";
    let DeValue::Integer(integer) = value.inner else { return value.wrong_type(EXPECTED) };
    let status = whole(integer).and_then(|n| u16::try_from(n).ok());
    match status
        .filter(|n| matches!(n, 301 | 302 | 303 | 307 | 308))
        .and_then(|n| StatusCode::from_u16(n).ok())
    {
        Some(status) => Some(status),
        None => {
            value.fail(value.error(format!("not the status of a redirect: {integer}")).expected(EXPECTED))
        }
    }
}
