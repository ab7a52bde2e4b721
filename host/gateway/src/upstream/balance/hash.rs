//! Requests that are alike go to the same endpoint.

use std::net::IpAddr;

use http::header;
use limen_config::HashBy;
use xxhash_rust::xxh3::xxh3_64;

use super::{Ask, random};
use crate::upstream::endpoint::EndpointId;
use crate::upstream::shared::EndpointSet;

pub struct Hash(HashBy);

impl Hash {
    pub fn new(by: &HashBy) -> Self {
        Hash(by.clone())
    }

    pub fn pick(&self, ask: &Ask<'_>, set: &EndpointSet, tried: &[EndpointId]) -> Option<usize> {
        match self.of(ask) {
            Some(hash) => set.on_ring(hash, tried),
            None => random::pick(set, tried),
        }
    }

    /// The hash of what the request has to be alike in; none if it lacks it.
    fn of(&self, ask: &Ask<'_>) -> Option<u64> {
        let head = ask.request;
        match &self.0 {
            HashBy::Header(name) => head.headers().get(name).map(|value| xxh3_64(value.as_bytes())),
            HashBy::Cookie(name) => cookie(head.headers(), name).map(xxh3_64),
            HashBy::Query(name) => query(head.uri().query()?, name).map(|value| xxh3_64(value.as_bytes())),
            HashBy::Client => Some(match ask.client.address.ip().to_canonical() {
                IpAddr::V4(address) => xxh3_64(&address.octets()),
                IpAddr::V6(address) => xxh3_64(&address.octets()),
            }),
            HashBy::Path => Some(xxh3_64(head.uri().path().as_bytes())),
        }
    }
}

/// The value of a cookie (RFC 6265, section 4.2.1).
pub fn cookie<'a>(headers: &'a http::HeaderMap, name: &str) -> Option<&'a [u8]> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    let mut pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    pairs.find_map(|pair| pair.trim_ascii_start().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The first value of a query parameter, as it is written.
fn query<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::RequestBody;
    use http::Request;
    use limen_policy::Client;

    #[test]
    fn what_makes_requests_alike() {
        let head = |uri: &str, cookie: &str| {
            let head = Request::builder().uri(uri).header("x-user", "7").header("cookie", cookie);
            head.body(RequestBody::Empty).unwrap()
        };
        let hash = |by: HashBy, request: &Request<RequestBody>| {
            Hash::new(&by).of(&Ask { request, client: &Client::default() })
        };
        let (a, b) = (head("/x?u=1&v=2", "other=1; user=7"), head("/x?uu=2&u=1", "user=7;x"));
        for by in [
            HashBy::Header(header::HeaderName::from_static("x-user")),
            HashBy::Cookie("user".to_owned()),
            HashBy::Query("u".to_owned()),
            HashBy::Client,
            HashBy::Path,
        ] {
            assert!(hash(by.clone(), &a).is_some(), "{by:?}");
            assert_eq!(hash(by.clone(), &a), hash(by, &b));
        }
        assert_eq!(hash(HashBy::Query("v".to_owned()), &b), None);
        assert_eq!(hash(HashBy::Cookie("use".to_owned()), &b), None);
        assert_ne!(hash(HashBy::Path, &a), hash(HashBy::Path, &head("/y", "")));
    }
}
