//! Policies that change heads.

use super::{Ask, Case, GET, Gets, OK, Peer, envoy, envoy_route};

pub const CASES: &[Case] = &[
    Case {
        gets: Gets { has: &["x-seen: onetwo", "x-three: three"], ..OK },
        peers: &[envoy(
            "header_mutation",
            "header_mutation.v3.HeaderMutation",
            "mutations: { request_mutations: [
                 { append: { header: { key: x-one, value: one }, append_action: OVERWRITE_IF_EXISTS_OR_ADD } },
                 { append: { header: { key: x-two, value: two }, append_action: OVERWRITE_IF_EXISTS_OR_ADD } }],
               response_mutations: [
                 { append: { header: { key: x-three, value: three }, append_action: OVERWRITE_IF_EXISTS_OR_ADD } }] }",
        )],
        ..Case::new(
            "headers",
            "{ use = 'headers', with = { request = { set = { x-one = 'one', x-two = 'two' } },
               response = { set = { x-three = 'three' } } } }",
        )
    },
    Case {
        gets: Gets {
            has: &["x-content-type-options: nosniff", "x-frame-options: deny", "referrer-policy: no-referrer"],
            ..OK
        },
        peers: &[envoy(
            "header_mutation",
            "header_mutation.v3.HeaderMutation",
            "mutations: { response_mutations: [
               { append: { header: { key: x-content-type-options, value: nosniff }, append_action: ADD_IF_ABSENT } },
               { append: { header: { key: x-frame-options, value: DENY }, append_action: ADD_IF_ABSENT } },
               { append: { header: { key: referrer-policy, value: no-referrer }, append_action: ADD_IF_ABSENT } },
               { remove: server }, { remove: x-powered-by }] }",
        )],
        ..Case::new("security-headers", "'security-headers'")
    },
    Case {
        ask: Ask { headers: &[("origin", "https://app.example.com")], ..GET },
        gets: Gets {
            has: &[
                "access-control-allow-origin: https://app.example.com",
                "access-control-allow-credentials: true",
            ],
            ..OK
        },
        other: Some((
            Ask { headers: &[("origin", "https://evil.example.com")], ..GET },
            Gets { lacks: &["access-control-allow-origin"], ..OK },
        )),
        peers: &[Peer {
            route: "match: { prefix: / }, route: { cluster: origin }, typed_per_filter_config: { envoy.filters.http.cors: {
                '@type': type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy, allow_credentials: true,
                allow_origin_string_match: [{ exact: 'https://app.example.com' }] } }",
            ..envoy("cors", "cors.v3.Cors", "")
        }],
        ..Case::new(
            "cors",
            "{ use = 'cors', with = { origins = ['https://app.example.com'], credentials = true } }",
        )
    },
    Case {
        ask: Ask { path: "users/42/small", ..GET },
        gets: Gets { has: &["x-uri: /internal/42/small"], ..OK },
        peers: &[envoy_route(
            "route with regex_rewrite",
            "match: { prefix: / }, route: { cluster: origin, regex_rewrite: {
               pattern: { regex: '^/[^/]+/users/([^/]+)/(.*)$' }, substitution: '/internal/\\1/\\2' } }",
        )],
        ..Case::new(
            "rewrite",
            "{ use = 'rewrite', with = { match = '/rewrite/users/{id}/**', path = '/internal/{id}/{rest}' } }",
        )
    },
    Case {
        gets: Gets { has: &["x-uri: /internal/small"], ..OK },
        peers: &[envoy_route(
            "route with prefix_rewrite",
            "match: { prefix: /rewrite-of-a-prefix/ }, route: { cluster: origin, prefix_rewrite: /internal/ }",
        )],
        ..Case::new(
            "rewrite of a prefix",
            "{ use = 'rewrite', with = { match = '/rewrite-of-a-prefix/**', prefix = '/internal' } }",
        )
    },
];
