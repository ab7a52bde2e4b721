//! Heads: what may come in, and what goes on.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};

use crate::body::ResponseBody;
use crate::refusal::Fault;

/// A host name and a port have no more bytes than this.
const LONGEST_HOST: usize = 262;

/// Checks a request's head, and brings it into the one form that routing, policies and the upstream
/// see. A head that is refused is as it was.
pub fn settle(head: &mut Request<()>) -> Result<(), Fault> {
    strip_hop_by_hop(head.headers_mut());
    check(head)?;
    agree_on_host(head);
    join_cookies(head);
    settle_path(head)
}

/// Refuses what nothing further in should have to understand.
fn check(head: &Request<()>) -> Result<(), Fault> {
    if head.method() == Method::CONNECT {
        return Err(Fault::bad_request("CONNECT is not served here."));
    }
    if head.uri().authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(Fault::bad_request("A target has no user and password."));
    }
    // Names in DNS are shorter (RFC 1035, section 2.3.4), and looking one up costs more than its length.
    if head.uri().authority().is_some_and(|host| host.as_str().len() > LONGEST_HOST)
        || head.headers().get(header::HOST).is_some_and(|host| host.len() > LONGEST_HOST)
    {
        return Err(Fault::bad_request("The host is too long."));
    }
    let hosts = head.headers().get_all(header::HOST).iter().count();
    match head.version() {
        // RFC 9112, section 3.2.
        Version::HTTP_11 if hosts != 1 => Err(Fault::bad_request("A request has exactly one Host header.")),
        _ if hosts > 1 => Err(Fault::bad_request("A request has one Host header at most.")),
        _ => Ok(()),
    }
}

/// The host of the target goes before a `Host` header beside it (RFC 9112, section 3.2.2; RFC 9113,
/// section 8.3.1): else a route would be chosen by one name, and its upstream asked for another.
fn agree_on_host(head: &mut Request<()>) {
    let Some(authority) = head.uri().authority() else { return };
    if head.headers().contains_key(header::HOST)
        && let Ok(host) = HeaderValue::try_from(authority.as_str())
    {
        head.headers_mut().insert(header::HOST, host);
    }
}

/// HTTP/2 clients send cookies in pieces; before HTTP/1.1 they are one field (RFC 9113, section 8.2.3).
fn join_cookies(head: &mut Request<()>) {
    if head.version() != Version::HTTP_2 {
        return;
    }
    let pieces: Vec<&[u8]> =
        head.headers().get_all(header::COOKIE).iter().map(|value| value.as_bytes()).collect();
    if pieces.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..]))
    {
        head.headers_mut().insert(header::COOKIE, joined);
    }
}

/// One spelling for one path, so that no route is passed by with another: escapes of characters that
/// need none are undone (RFC 3986, section 6.2.2.2), and dot segments, which clients resolve
/// themselves, are refused.
fn settle_path(head: &mut Request<()>) -> Result<(), Fault> {
    let path = head.uri().path();
    // Most paths have nothing of this: one look at each byte.
    let unusual = path.contains('%') || path.contains("/.");
    if !unusual {
        return Ok(());
    }
    let settled = undo_needless_escapes(path);
    if settled.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Fault::bad_request("The path has dot segments."));
    }
    let Cow::Owned(settled) = settled else { return Ok(()) };
    let target = match head.uri().query() {
        Some(query) => format!("{settled}?{query}"),
        None => settled,
    };
    let mut parts = head.uri().clone().into_parts();
    let unusable = |_| Fault::bad_request("The path can't be read.");
    parts.path_and_query = Some(PathAndQuery::try_from(target).map_err(unusable)?);
    *head.uri_mut() = Uri::from_parts(parts).map_err(|_| Fault::bad_request("The path can't be read."))?;
    Ok(())
}

/// `/%61%2F%zz` is `/a%2F%zz`.
fn undo_needless_escapes(path: &str) -> Cow<'_, str> {
    let mut pieces = path.split('%');
    let mut settled = pieces.next().unwrap_or_default().to_owned();
    let mut changed = false;
    for piece in pieces {
        let escaped = piece.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (escaped, piece.get(2..)) {
            (
                Some(byte @ (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')),
                Some(rest),
            ) => {
                settled.push(char::from(byte));
                settled.push_str(rest);
                changed = true;
            }
            _ => {
                settled.push('%');
                settled.push_str(piece);
            }
        }
    }
    if changed { Cow::Owned(settled) } else { Cow::Borrowed(path) }
}

/// The target as HTTP/1.1 asks an origin for it (RFC 9112, section 3.2.1).
pub fn origin_form(uri: &Uri) -> Uri {
    if uri.authority().is_none() && uri.scheme().is_none() {
        return uri.clone();
    }
    let target = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    Uri::from(target)
}

/// Some answers have no body, whatever policies or the gateway itself would say in it (RFC 9110,
/// sections 9.3.2 and 6.4.1). Over HTTP/2 nobody below us sees to that.
pub fn leave_out_body(head: &mut Response<()>, body: &mut ResponseBody, to_head: bool) {
    let bodiless = matches!(head.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !to_head && !bodiless {
        return;
    }
    if head.status() == StatusCode::NO_CONTENT {
        head.headers_mut().remove(header::CONTENT_LENGTH);
    } else if to_head
        && let Some(length @ 1..) = body.size_hint().exact()
        && !head.headers().contains_key(header::CONTENT_LENGTH)
    {
        head.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    body.replace(Bytes::new());
}

/// Takes away what speaks of one connection only (RFC 9110, section 7.6.1), and the headers that
/// `Connection` names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let is_hop_by_hop = |name: &HeaderName| {
        matches!(
            *name,
            header::CONNECTION
                | header::TE
                | header::TRAILER
                | header::TRANSFER_ENCODING
                | header::UPGRADE
                | header::PROXY_AUTHENTICATE
                | header::PROXY_AUTHORIZATION
        ) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
    };
    // Most heads have none of them: one look at each name instead of a look-up for each of these.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        // What says how long the body is or where it goes is not for a client to take away.
        .filter(|name| !matches!(*name, header::HOST | header::CONTENT_LENGTH))
        .collect();
    let present: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in named.into_iter().chain(present) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_one_connection_only_goes_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret , content-length, host"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("x-secret", "1"),
            ("content-length", "3"),
            ("host", "example.com"),
            ("accept", "*/*"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort();
        assert_eq!(left, ["accept", "content-length", "host"]);
    }

    #[test]
    fn one_path_has_one_spelling() {
        let settled = |target: &str| {
            let mut head = Request::builder().uri(target).header("host", "a").body(()).unwrap();
            settle(&mut head).map(|()| head.uri().to_string()).map_err(|fault| fault.status.as_u16())
        };
        assert_eq!(settled("/admin/x?q=%61").as_deref(), Ok("/admin/x?q=%61"));
        assert_eq!(settled("/%61dmin/%7e?q=1").as_deref(), Ok("/admin/~?q=1"));
        assert_eq!(settled("/a%2fb%20c%zz%").as_deref(), Ok("/a%2fb%20c%zz%"));
        assert_eq!(settled("/.well-known/x..y/...").as_deref(), Ok("/.well-known/x..y/..."));
        for dots in ["/x/../admin", "/x/%2e%2E/admin", "/.", "/a/./b", "/a/.."] {
            assert_eq!(settled(dots), Err(400), "{dots}");
        }
    }

    #[test]
    fn a_host_that_no_name_needs_is_refused() {
        let mut head = Request::builder().uri("/").header("host", "a.".repeat(1000)).body(()).unwrap();
        assert_eq!(settle(&mut head).unwrap_err().status, StatusCode::BAD_REQUEST);
    }

    #[test]
    fn cookies_in_pieces_are_joined() {
        let head = Request::builder().version(Version::HTTP_2).uri("http://a/");
        let mut head = head.header("cookie", "a=1").header("cookie", "b=2").body(()).unwrap();
        settle(&mut head).unwrap();
        assert_eq!(head.headers().get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
    }
}
