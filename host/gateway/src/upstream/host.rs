//! What an upstream reads as `Host`.

use http::Request;
use http::header::{self, HeaderValue};
use limen_config::UpstreamHost;

use super::endpoint::Address;

/// Names the host that the upstream wants to be asked for. By now the request names the client's.
pub fn settle<B>(rule: &UpstreamHost, address: &Address, request: &mut Request<B>) {
    match rule {
        UpstreamHost::Keep => {}
        UpstreamHost::Endpoint => {
            if let Ok(host) = HeaderValue::try_from(address.authority()) {
                drop(request.headers_mut().insert(header::HOST, host));
            }
        }
        UpstreamHost::Name(host) => drop(request.headers_mut().insert(header::HOST, host.clone())),
    }
}
