//! What speaks of one connection only, and what may not come after a body.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::listener::CertificateHeader;

/// Takes away what is for one connection only (RFC 9110, section 7.6.1), and the headers that
/// `Connection` names. That trailers are welcome is said again.
pub fn strip(headers: &mut HeaderMap) {
    // Most heads have none of them: one look at each name instead of a look-up for each of these.
    if headers.keys().any(is_hop_by_hop) {
        strip_all(headers);
    }
}

/// As [`strip`], where it is known that there is something.
pub fn strip_all(headers: &mut HeaderMap) {
    let trailers = lists(headers, &header::TE, "trailers");
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // These belong to the message, whatever is said of them.
        .filter(|name| !matches!(*name, header::CONTENT_LENGTH | header::HOST))
        .collect();
    let present: Vec<HeaderName> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in named.into_iter().chain(present) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
}

/// `Trailer` is not among them: it goes with the trailers.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::TE
            | header::TRANSFER_ENCODING
            | header::UPGRADE
            | header::PROXY_AUTHENTICATE
            | header::PROXY_AUTHORIZATION
    ) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

/// Whether a list of tokens has this one, in lower case.
pub fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    // A weight may follow: `trailers;q=1`.
    let names = |item: &str| item.split(';').next().is_some_and(|it| it.trim().eq_ignore_ascii_case(token));
    lines.flat_map(|line| line.split(',')).any(names)
}

/// Takes from trailers what only a head may say (RFC 9110, section 6.5.1): where the message ends, where
/// it goes, how it is to be read and who sends it.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    let forbidden = |name: &HeaderName| {
        is_hop_by_hop(name)
            || !limen_policy::may_trail(name)
            || super::forwarded::is_claim(name)
            || *name == CertificateHeader::NAME
    };
    let present: Vec<HeaderName> = trailers.keys().filter(|name| forbidden(name)).cloned().collect();
    for name in present {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_is_for_one_connection_only_goes_no_further() {
        let mut headers = headers(&[
            ("connection", "close, X-Secret , content-length, host"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip, trailers;q=0.5"),
            ("trailer", "x-sum"),
            ("upgrade", "h2c"),
            ("x-secret", "1"),
            ("content-length", "3"),
            ("host", "example.com"),
            ("accept", "*/*"),
        ]);
        strip(&mut headers);
        assert_eq!(names(&headers), ["accept", "content-length", "host", "te", "trailer"]);
        assert_eq!(headers["te"], "trailers");
    }

    #[test]
    fn trailers_say_nothing_that_belongs_into_the_head() {
        let mut trailers = headers(&[
            ("x-sum", "1"),
            ("grpc-status", "0"),
            ("content-length", "0"),
            ("transfer-encoding", "chunked"),
            ("host", "b"),
            ("authorization", "Basic x"),
            ("set-cookie", "a=b"),
            ("x-forwarded-for", "::1"),
            ("x-forwarded-client-cert", "Hash=1"),
        ]);
        strip_trailers(&mut trailers);
        assert_eq!(names(&trailers), ["grpc-status", "x-sum"]);
    }
}
