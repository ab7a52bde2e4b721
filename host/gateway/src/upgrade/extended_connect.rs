//! Asking an endpoint of HTTP/2 to go on in another protocol (RFC 8441). To whoever asks it looks as it
//! would in HTTP/1.1.

use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::ext::Protocol;

use super::websocket;

/// What was asked for, in HTTP/1.1's words.
pub struct ExtendedConnect {
    protocol: Option<HeaderValue>,
    key: Option<HeaderValue>,
}

impl ExtendedConnect {
    /// Makes one of a request with `Upgrade`.
    pub fn of<B>(request: &mut Request<B>) -> Self {
        let headers = request.headers_mut();
        headers.remove(header::CONNECTION);
        let (protocol, key) = (headers.remove(header::UPGRADE), headers.remove(header::SEC_WEBSOCKET_KEY));
        if let Some(name) = protocol.as_ref().and_then(|protocol| protocol.to_str().ok()) {
            let name = Protocol::from(name);
            request.extensions_mut().insert(name);
        }
        *request.method_mut() = Method::CONNECT;
        ExtendedConnect { protocol, key }
    }

    /// Makes of an endpoint's agreement what it would be in HTTP/1.1; another answer stays as it is.
    pub fn answered<B>(self, response: &mut Response<B>) {
        if !response.status().is_success() {
            return;
        }
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let accept = self.key.and_then(|key| HeaderValue::try_from(websocket::proof(key.as_bytes())).ok());
        let headers = response.headers_mut();
        for (name, value) in [(header::UPGRADE, self.protocol), (header::SEC_WEBSOCKET_ACCEPT, accept)] {
            headers.extend(value.map(|value| (name, value)));
        }
    }
}
