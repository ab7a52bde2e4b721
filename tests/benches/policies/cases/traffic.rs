//! Policies that count requests and bound them.

use super::{Ask, Body, Case, GET, Gets, OK, POST, Peer, envoy, gets};

pub const CASES: &[Case] = &[
    Case {
        room: Some(100_000_000),
        shows: "ratelimit: ",
        peers: &[Peer {
            shows: "x-ratelimit-remaining: ",
            ..envoy(
                "local_ratelimit",
                "local_ratelimit.v3.LocalRateLimit",
                "stat_prefix: rate, enable_x_ratelimit_headers: DRAFT_VERSION_03,
                 filter_enabled: { default_value: { numerator: 100 } },
                 filter_enforced: { default_value: { numerator: 100 } },
                 token_bucket: { max_tokens: @ROOM@, tokens_per_fill: @ROOM@, fill_interval: 1s }",
            )
        }],
        ..Case::new(
            "rate-limit",
            "{ use = 'rate-limit', with = { by = [], limits = [{ limit = @ROOM@, per = '1s' }] } }",
        )
    },
    Case {
        room: Some(100_000_000),
        shows: "ratelimit: ",
        peers: &[Peer {
            shows: "x-ratelimit-remaining: ",
            ..envoy(
                "local_ratelimit by address",
                "local_ratelimit.v3.LocalRateLimit",
                "stat_prefix: rate, enable_x_ratelimit_headers: DRAFT_VERSION_03,
                 filter_enabled: { default_value: { numerator: 100 } },
                 filter_enforced: { default_value: { numerator: 100 } },
                 token_bucket: { max_tokens: 1000000000, tokens_per_fill: 1000000000, fill_interval: 1s },
                 rate_limits: [{ actions: [{ remote_address: {} }] }], descriptors: [{ entries: [{ key: remote_address }],
                   token_bucket: { max_tokens: @ROOM@, tokens_per_fill: @ROOM@, fill_interval: 1s } }]",
            )
        }],
        ..Case::new(
            "rate-limit by address",
            "{ use = 'rate-limit', with = { by = ['address'], limits = [{ limit = @ROOM@, per = '1s' }] } }",
        )
    },
    Case {
        room: Some(1_000_000_000_000),
        ask: Ask { headers: &[("x-tenant", "acme")], ..GET },
        other: Some((Ask { headers: &[("x-tenant", "acme"), ("x-tenants", "two")], ..GET }, OK)),
        gets: Gets { has: &["ratelimit: "], ..OK },
        ..Case::new(
            "quota",
            "{ use = 'quota', with = { per = 'month', limit = @ROOM@, by = [{ header = 'x-tenant' }] } }",
        )
    },
    Case {
        room: Some(1_000_000),
        ..Case::new(
            "throttle",
            "{ use = 'throttle', with = { limit = @ROOM@, burst = @ROOM@, wait = '10ms', by = [] } }",
        )
    },
    Case {
        room: Some(1000),
        ..Case::new("concurrency", "{ use = 'concurrency', with = { limit = @ROOM@, by = ['address'] } }")
    },
    Case {
        ask: Ask { body: Body::Items(4096), ..POST },
        other: Some((Ask { body: Body::Items(20_000), ..POST }, gets(413))),
        peers: &[
            envoy("buffer", "buffer.v3.Buffer", "max_request_bytes: 16384"),
            envoy("body_size_limit", "body_size_limit.v3.BodySizeLimit", "max_request_bytes: 16384"),
        ],
        ..Case::new("size", "{ use = 'size', with = { body = '16KiB' } }")
    },
];
