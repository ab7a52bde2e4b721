//! Heads: what may come in, and what goes on.

pub mod forwarded;
pub mod hop_by_hop;
mod path;
pub mod request_id;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::ext::Protocol;
use limen_config::PathRules;

use crate::body::ResponseBody;
use crate::listener::CertificateHeader;
use crate::refusal::Fault;
use crate::upgrade;

/// A host name and a port have no more bytes than this.
const LONGEST_HOST: usize = 262;

/// What is unusual about a request, found in one look at each of its headers: most have nothing of it,
/// and are asked nothing else.
#[derive(Default)]
pub struct Traits {
    /// What its sender asks of the gateway.
    pub kind: Kind,
    /// The client sends its body only when it is asked to (`Expect: 100-continue`).
    pub on_demand: bool,
    hosts: usize,
    cookies: usize,
    length: bool,
    coding: Option<Coding>,
    hop_by_hop: bool,
    /// It says something of the client that only proxies should.
    claims: bool,
    /// It says something of a client's certificate.
    pub certificate: bool,
    via: bool,
}

/// What a client expects beside a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Plain,
    /// It reads how its call went from trailers.
    Grpc,
    /// It wants to go on in another protocol (RFC 9110, section 7.8).
    Upgrade,
    /// The same in HTTP/2 (RFC 8441).
    ExtendedConnect,
}

/// `Transfer-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Chunked,
    /// Anything else, or more than one.
    Unknown,
}

impl Traits {
    pub fn of<B>(head: &Request<B>) -> Self {
        let mut traits = Traits::default();
        for (name, value) in head.headers() {
            match *name {
                header::HOST => traits.hosts += 1,
                header::COOKIE => traits.cookies += 1,
                header::CONTENT_LENGTH => traits.length = true,
                header::CONTENT_TYPE if is_grpc(value) && head.version() == Version::HTTP_2 => {
                    traits.kind = Kind::Grpc;
                }
                header::TRANSFER_ENCODING => {
                    let chunked =
                        value.as_bytes().eq_ignore_ascii_case(b"chunked") && traits.coding.is_none();
                    traits.coding = Some(if chunked { Coding::Chunked } else { Coding::Unknown });
                    traits.hop_by_hop = true;
                }
                header::EXPECT => {
                    traits.on_demand |= value.as_bytes().eq_ignore_ascii_case(b"100-continue");
                }
                header::VIA => traits.via = true,
                // HTTP/1.0 knows no upgrades (RFC 9110, section 7.8).
                header::UPGRADE if head.version() == Version::HTTP_11 => {
                    traits.kind = Kind::Upgrade;
                    traits.hop_by_hop = true;
                }
                _ if hop_by_hop::is_hop_by_hop(name) => traits.hop_by_hop = true,
                _ if *name == CertificateHeader::NAME => traits.certificate = true,
                _ if forwarded::is_claim(name) => traits.claims = true,
                _ => {}
            }
        }
        if head.method() == Method::CONNECT && head.extensions().get::<Protocol>().is_some() {
            traits.kind = Kind::ExtendedConnect;
        }
        traits
    }
}

/// Checks a request's head, and brings it into the one form that routing, policies and the upstream
/// see. A head that is refused is as it was.
pub fn settle(head: &mut Request<()>, traits: &Traits, rules: &PathRules) -> Result<(), Fault> {
    check(head, traits)?;
    path::settle(head.uri_mut(), rules)?;
    let protocol = match traits.kind {
        Kind::Upgrade | Kind::ExtendedConnect => upgrade::settle(head, traits.kind),
        Kind::Plain | Kind::Grpc => None,
    };
    if traits.hop_by_hop {
        hop_by_hop::strip_all(head.headers_mut());
    }
    if let Some(protocol) = protocol {
        head.headers_mut().insert(header::UPGRADE, protocol);
    }
    if traits.on_demand {
        // It is the gateway that asks for the body, as soon as somebody wants it.
        head.headers_mut().remove(header::EXPECT);
    }
    agree_on_host(head);
    if traits.cookies > 1 && head.version() == Version::HTTP_2 {
        join_cookies(head);
    }
    Ok(())
}

/// Refuses what nothing further in should have to understand.
fn check(head: &Request<()>, traits: &Traits) -> Result<(), Fault> {
    match (traits.coding, traits.length) {
        // RFC 9112, section 6.1: nobody means both, and one of those behind may read the other one.
        (Some(_), true) => return Err(Fault::bad_request("A body has a length or a coding, not both.")),
        (Some(Coding::Unknown), _) => {
            return Err(Fault::bad_request("The only transfer coding here is `chunked`."));
        }
        _ => {}
    }
    // RFC 9112, section 3.2.
    match head.version() {
        Version::HTTP_11 if traits.hosts != 1 => {
            return Err(Fault::bad_request("A request has exactly one Host header."));
        }
        // A URI of http has a host (RFC 9110, section 4.2.1).
        Version::HTTP_2 if traits.hosts == 0 && head.uri().authority().is_none() => {
            return Err(Fault::bad_request("A request names its host."));
        }
        _ if traits.hosts > 1 => {
            return Err(Fault::bad_request("A request has one Host header at most."));
        }
        _ => {}
    }
    if traits.hosts > 0 && !head.headers().get(header::HOST).is_some_and(is_host) {
        return Err(Fault::bad_request("The Host header names no host."));
    }
    check_target(head, traits)
}

fn check_target(head: &Request<()>, traits: &Traits) -> Result<(), Fault> {
    let uri = head.uri();
    if let Some(authority) = uri.authority() {
        let authority = authority.as_str();
        if authority.contains('@') {
            return Err(Fault::bad_request("A target has no user and password."));
        }
        // Names in DNS are shorter (RFC 1035, section 2.3.4), and looking one up costs more than its length.
        if authority.len() > LONGEST_HOST {
            return Err(Fault::bad_request("The host is too long."));
        }
    }
    if !matches!(uri.scheme_str(), None | Some("http" | "https")) {
        return Err(Fault::bad_request("The target is of a scheme that is not served here."));
    }
    if head.method() == Method::CONNECT && traits.kind != Kind::ExtendedConnect {
        return Err(Fault::bad_request("CONNECT is not served here."));
    }
    // It would tell the client what policies and the gateway say to the upstream only.
    if head.method() == Method::TRACE {
        return Err(Fault::method_not_allowed("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT".to_owned()));
    }
    match uri.path() {
        "*" if head.method() == Method::OPTIONS => Ok(()),
        "*" => Err(Fault::bad_request("Only OPTIONS can be asked of `*`.")),
        path if path.starts_with('/') => Ok(()),
        _ => Err(Fault::bad_request("The path does not start with a slash.")),
    }
}

/// Whether a client asks what the server as a whole can do (RFC 9110, section 9.3.7). That is the
/// gateway, which answers itself.
pub fn asks_for_options<B>(head: &Request<B>) -> bool {
    head.uri().path() == "*"
}

/// A name or an address, and a port. An empty one is allowed: it means that there is none.
fn is_host(value: &HeaderValue) -> bool {
    let host = value.as_bytes();
    let usual = |byte: &u8| {
        matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'~' | b'%'
            | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=')
    };
    host.len() <= LONGEST_HOST && host.iter().all(usual)
}

/// The host of the target goes before a `Host` header beside it (RFC 9112, section 3.2.2; RFC 9113,
/// section 8.3.1): else a route would be chosen by one name, and its upstream asked for another. From
/// here on there is a `Host` wherever a host was named.
fn agree_on_host(head: &mut Request<()>) {
    if let Some(authority) = head.uri().authority()
        && let Ok(host) = HeaderValue::try_from(authority.as_str())
    {
        head.headers_mut().insert(header::HOST, host);
    }
}

/// HTTP/2 clients send cookies in pieces; before HTTP/1.1 they are one field (RFC 9113, section 8.2.3).
fn join_cookies(head: &mut Request<()>) {
    let pieces: Vec<&[u8]> =
        head.headers().get_all(header::COOKIE).iter().map(|value| value.as_bytes()).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        head.headers_mut().insert(header::COOKIE, joined);
    }
}

/// Not gRPC-Web, whose clients read no trailers.
pub fn is_grpc(content_type: &HeaderValue) -> bool {
    let rest = content_type.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
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

#[cfg(test)]
mod tests {
    use super::*;
    use limen_config::{DotSegments, EmptySegments, EncodedSlashes};

    fn settled(mut head: Request<()>) -> Result<Request<()>, u16> {
        let rules = PathRules {
            dot_segments: DotSegments::Resolve,
            encoded_slashes: EncodedSlashes::Keep,
            empty_segments: EmptySegments::Merge,
        };
        let traits = Traits::of(&head);
        settle(&mut head, &traits, &rules).map(|()| head).map_err(|fault| fault.status.as_u16())
    }

    fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut head = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        head.body(()).unwrap()
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (method, target, headers) in [
            ("GET", "/", vec![]),
            ("GET", "/", vec![("host", "a"), ("host", "a")]),
            ("GET", "/", vec![("host", "a, b")]),
            ("GET", "/", vec![("host", "user@a")]),
            ("GET", "/", vec![("host", "a/b")]),
            ("GET", "/", vec![("host", &*"a.".repeat(1000))]),
            ("GET", "ftp://a/x", vec![("host", "a")]),
            ("GET", "http://u:p@a/x", vec![("host", "a")]),
            ("GET", "*", vec![("host", "a")]),
            ("CONNECT", "a:1", vec![("host", "a:1")]),
            ("POST", "/", vec![("host", "a"), ("content-length", "1"), ("transfer-encoding", "chunked")]),
            ("POST", "/", vec![("host", "a"), ("transfer-encoding", "gzip, chunked")]),
            (
                "POST",
                "/",
                vec![("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            ),
            (
                "POST",
                "/",
                vec![("host", "a"), ("transfer-encoding", "identity"), ("transfer-encoding", "chunked")],
            ),
        ] {
            assert_eq!(
                settled(request(method, target, &headers)).unwrap_err(),
                400,
                "{method} {target} {headers:?}"
            );
        }
        assert_eq!(settled(request("TRACE", "/", &[("host", "a")])).unwrap_err(), 405);
        assert!(settled(request("OPTIONS", "*", &[("host", "a")])).is_ok());
        assert!(settled(request("GET", "/", &[("host", "")])).is_ok());
        assert!(settled(request("GET", "/", &[("host", "[::1]:8080")])).is_ok());
    }

    #[test]
    fn cookies_in_pieces_are_joined() {
        let mut head = request("GET", "http://a/", &[("cookie", "a=1"), ("cookie", "b=2")]);
        *head.version_mut() = Version::HTTP_2;
        let head = settled(head).unwrap();
        assert_eq!(head.headers().get_all("cookie").iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert_eq!(head.headers()["host"], "a");
    }

    #[test]
    fn grpc_is_not_grpc_web() {
        let kind = |content_type: &str| {
            let mut head = request("POST", "http://a/", &[("content-type", content_type)]);
            *head.version_mut() = Version::HTTP_2;
            Traits::of(&head).kind
        };
        assert_eq!(kind("application/grpc"), Kind::Grpc);
        assert_eq!(kind("application/grpc+proto"), Kind::Grpc);
        assert_eq!(kind("application/grpc-web+proto"), Kind::Plain);
    }
}
