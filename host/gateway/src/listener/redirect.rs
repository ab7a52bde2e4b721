//! From clear text to https.

use http::header::{self, HeaderValue};
use http::{Request, StatusCode};
use limen_config::HttpsRedirect;

use crate::refusal::Fault;

/// The same host, path and query, by TLS.
pub fn to_https(redirect: HttpsRedirect, head: &Request<()>) -> Fault {
    let host = match head.uri().authority() {
        Some(authority) => Some(authority.as_str()),
        None => head.headers().get(header::HOST).and_then(|host| host.to_str().ok()),
    };
    let host = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
    let Some(host) = host.as_ref().map(|host| host.host()).filter(|host| !host.is_empty()) else {
        return Fault::bad_request("The request names no host.");
    };
    let target = head.uri().path_and_query().map_or("/", |target| target.as_str());
    // `OPTIONS *` has no path.
    let target = if target.starts_with('/') { target } else { "/" };
    let location = match redirect.port {
        443 => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    };
    match HeaderValue::try_from(location) {
        Ok(location) => Fault::redirect(StatusCode::PERMANENT_REDIRECT, location),
        Err(_) => Fault::bad_request("The target can't be redirected."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(port: u16, target: &str, host: Option<&str>) -> Result<String, u16> {
        let mut head = Request::builder().uri(target).body(()).unwrap();
        if let Some(host) = host {
            head.headers_mut().insert("host", host.parse().unwrap());
        }
        let fault = to_https(HttpsRedirect { port }, &head);
        let location = fault.location.as_ref().map(|location| location.to_str().unwrap().to_owned());
        location.ok_or(fault.status.as_u16())
    }

    #[test]
    fn host_path_and_query_stay() {
        assert_eq!(
            location(443, "/a/b?c=%20", Some("example.com:8080")).as_deref(),
            Ok("https://example.com/a/b?c=%20")
        );
        assert_eq!(location(8443, "/", Some("[::1]:80")).as_deref(), Ok("https://[::1]:8443/"));
        assert_eq!(location(443, "http://h2.example/x", None).as_deref(), Ok("https://h2.example/x"));
        assert_eq!(location(443, "*", Some("example.com")).as_deref(), Ok("https://example.com/"));
    }

    #[test]
    fn nobody_is_sent_to_no_host() {
        assert_eq!(location(443, "/", None), Err(400));
        assert_eq!(location(443, "/", Some("")), Err(400));
        assert_eq!(location(443, "/", Some("a/../b")), Err(400));
    }
}
