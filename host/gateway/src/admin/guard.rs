//! Who may ask the admin listener. That it listens on the loopback alone keeps other machines out, and
//! not a web page in a browser on this one.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use subtle::ConstantTimeEq;

use super::Place;
use super::answer;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What probes ask for, which know no token.
const OPEN: [&str; 2] = ["/ready", "/live"];

pub fn around(app: Router, place: Arc<Place>) -> Router {
    app.layer(from_fn_with_state(place, guard))
}

async fn guard(State(place): State<Arc<Place>>, request: Request, next: Next) -> Response {
    let problem = |status, detail: &str| answer::problem(status, detail);
    if let Some(token) = &place.token
        && !OPEN.contains(&request.uri().path())
        && !has_token(request.headers(), token)
    {
        let mut response = problem(StatusCode::UNAUTHORIZED, "this needs the token of `token_file`");
        let challenge = http::HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        return response;
    }
    if place.token.is_none() && !names_this_machine(request.headers()) {
        let detail = "ask for this listener by an IP address or as `localhost`: another name could be \
                      that of a web page that was pointed here";
        return problem(StatusCode::MISDIRECTED_REQUEST, detail);
    }
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if !is_safe && comes_from_another_site(request.headers()) {
        return problem(StatusCode::FORBIDDEN, "a web page of another site sent this");
    }
    next.run(request).await
}

fn has_token(headers: &HeaderMap, token: &[u8]) -> bool {
    let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    let given = given.and_then(|value| match value.split_at_checked(7) {
        Some((scheme, given)) if scheme.eq_ignore_ascii_case(b"bearer ") => Some(given.trim_ascii()),
        _ => None,
    });
    // Its length can be told from how long this takes, and nothing else.
    given.is_some_and(|given| given.ct_eq(token).into())
}

/// A name that leads here today may lead elsewhere tomorrow and back (DNS rebinding); an address does
/// not.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    // An IPv6 address stands in brackets (RFC 3986, section 3.2.2).
    if let Some((address, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok()
}

/// Browsers say where a request comes from; other clients have nothing to say.
fn comes_from_another_site(headers: &HeaderMap) -> bool {
    let site = headers.get(FETCH_SITE).map(|site| site.as_bytes());
    let origin = headers.get(header::ORIGIN).map(|origin| origin.as_bytes());
    let host = headers.get(header::HOST).map(|host| host.as_bytes()).unwrap_or_default();
    let of_this_host = |origin: &[u8]| origin.strip_prefix(b"http://") == Some(host);
    site.is_some_and(|site| site != b"same-origin" && site != b"none")
        || origin.is_some_and(|origin| !of_this_host(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), http::HeaderValue::from_static(value))
        };
        all.iter().map(pair).collect()
    }

    #[test]
    fn only_addresses_and_localhost_are_this_machine() {
        for host in ["127.0.0.1:9901", "localhost", "LOCALHOST:1", "[::1]:9901", "[::1]", "10.0.0.1"] {
            assert!(names_this_machine(&headers(&[("host", host)])), "{host}");
        }
        for host in ["evil.example:9901", "localhost.evil.example", "", "127.0.0.1.evil.example", "::1:x"] {
            assert!(!names_this_machine(&headers(&[("host", host)])), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_told_from_a_tool_and_from_our_own() {
        let host = ("host", "localhost:9901");
        for ours in
            [vec![host], vec![host, ("origin", "http://localhost:9901"), ("sec-fetch-site", "same-origin")]]
        {
            assert!(!comes_from_another_site(&headers(&ours)), "{ours:?}");
        }
        for other in [
            vec![host, ("origin", "http://evil.example")],
            vec![host, ("origin", "null")],
            vec![host, ("sec-fetch-site", "cross-site")],
            vec![host, ("sec-fetch-site", "same-site")],
        ] {
            assert!(comes_from_another_site(&headers(&other)), "{other:?}");
        }
    }

    #[test]
    fn a_token_is_the_whole_of_it() {
        let with = |value| has_token(&headers(&[("authorization", value)]), b"0123456789abcdef");
        assert!(with("Bearer 0123456789abcdef") && with("bearer 0123456789abcdef"));
        for wrong in [
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdef0",
            "0123456789abcdef",
            "Bearer",
            "Basic 0123456789abcdef",
        ] {
            assert!(!with(wrong), "{wrong}");
        }
    }
}
