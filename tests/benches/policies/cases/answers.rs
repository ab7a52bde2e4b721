//! Policies that answer, so that there is no upstream to ask.

use super::{Answered, Ask, By, Case, Content, GET, Gets, OK, POST, Peer, envoy, envoy_route, gets};

const NGINX: Peer = Peer { by: By::Nginx, shows: "x-cache: hit", ..envoy("proxy_cache", "", "") };
const SIMPLE: Peer = Peer {
    shows: "age: ",
    ..envoy(
        "cache, simple_http_cache",
        "cache.v3.CacheConfig",
        "typed_config: { '@type': type.googleapis.com/envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig }",
    )
};
const SIMPLE_V2: Peer = Peer {
    shows: "age: ",
    ..envoy(
        "cache_v2, simple_http_cache",
        "cache_v2.v3.CacheV2Config",
        "typed_config: { '@type': type.googleapis.com/envoy.extensions.http.cache_v2.simple_http_cache.v3.SimpleHttpCacheV2Config }",
    )
};

pub const CASES: &[Case] = &[
    Case {
        gets: Gets { has: &["hello"], ..OK },
        answered: Answered::ByGateway,
        peers: &[envoy_route(
            "direct_response",
            "match: { prefix: / }, direct_response: { status: 200, body: { inline_string: hello } }",
        )],
        ..Case::new("respond", "{ use = 'respond', with = { body = 'hello' } }")
    },
    Case {
        gets: Gets { has: &["location: ", "/new"], ..gets(308) },
        answered: Answered::ByGateway,
        peers: &[envoy_route(
            "redirect",
            "match: { prefix: / }, redirect: { path_redirect: /new, response_code: PERMANENT_REDIRECT }",
        )],
        ..Case::new("redirect", "{ use = 'redirect', with = { to = '/new' } }")
    },
    Case {
        file: Some(("people.yaml", Content::Text(super::bodies::DOCUMENT))),
        ask: POST,
        gets: Gets { has: &["\"ok\""], ..OK },
        answered: Answered::ByGateway,
        ..Case::new("mock", "{ use = 'mock', with = { document = 'people.yaml', base = '/mock' } }")
    },
    Case {
        shows: "hit",
        answered: Answered::ByGateway,
        peers: &[NGINX, SIMPLE, SIMPLE_V2],
        ..Case::new("cache, a small object", "'cache'")
    },
    Case {
        ask: Ask { path: "large", ..GET },
        shows: "hit",
        answered: Answered::ByGateway,
        peers: &[NGINX, SIMPLE, SIMPLE_V2],
        ..Case::new("cache, 100 KiB", "'cache'")
    },
];
