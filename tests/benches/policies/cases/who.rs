//! Policies that find out who asks, and whether that one may.

use super::{Ask, Case, Content, GET, Gets, OK, Peer, envoy, gets};

const SEEN: Gets = Gets { has: &["x-seen: ada"], ..OK };

/// Where clients come from: the measured one from the first network.
const COUNTRIES: (&str, Content) = (
    "country.mmdb",
    Content::Countries(&[
        ("::7f00:1/128", "DE"),
        ("::7f00:2/128", "FR"),
        ("::c000:200/120", "ES"),
        ("2001:db8::/32", "US"),
    ]),
);
const MAXMIND: &str = "provider: { name: envoy.geoip_providers.maxmind, typed_config: {
       '@type': type.googleapis.com/envoy.extensions.geoip_providers.maxmind.v3.MaxMindConfig,
       country_db_path: ./country.mmdb, common_provider_config: { geo_field_keys: { country: x-user } } } }";

pub const CASES: &[Case] = &[
    Case {
        tables: "[key_set.idp]\njwks = 'idp.json'\nissuer = 'https://id.example.com'\naudience = 'orders'",
        file: Some(("idp.json", Content::Text(crate::words::JWKS))),
        ask: Ask { headers: &[("authorization", "Bearer @TOKEN@")], ..GET },
        gets: SEEN,
        other: Some((Ask { headers: &[("authorization", "Bearer @FORGED@")], ..GET }, gets(401))),
        peers: &[
            envoy(
                "jwt_authn",
                "jwt_authn.v3.JwtAuthentication",
                "rules: [{ match: { prefix: / }, requires: { provider_name: idp } }],
                 providers: { idp: { issuer: 'https://id.example.com', audiences: [orders], forward: true,
                   claim_to_headers: [{ header_name: x-user, claim_name: sub }], local_jwks: { inline_string: '@JWKS@' } } }",
            ),
            envoy(
                "jwt_authn with its cache",
                "jwt_authn.v3.JwtAuthentication",
                "rules: [{ match: { prefix: / }, requires: { provider_name: idp } }],
                 providers: { idp: { issuer: 'https://id.example.com', audiences: [orders], forward: true,
                   jwt_cache_config: { jwt_cache_size: 1000 },
                   claim_to_headers: [{ header_name: x-user, claim_name: sub }], local_jwks: { inline_string: '@JWKS@' } } }",
            ),
        ],
        ..Case::new("jwt", "{ use = 'jwt', with = { keys = 'idp', headers = { x-user = 'sub' } } }")
    },
    Case {
        ask: Ask { headers: &[("x-api-key", "@KEY@")], ..GET },
        other: Some((Ask { headers: &[("x-api-key", "@KEY@x")], ..GET }, gets(401))),
        peers: &[envoy(
            "api_key_auth",
            "api_key_auth.v3.ApiKeyAuth",
            "credentials: [{ key: @KEY@, client: ada }], key_sources: [{ header: x-api-key }]",
        )],
        ..Case::new("api-key", "'api-key'")
    },
    Case {
        // `htpasswd -nbB -C 4 ada "open sesame"`
        file: Some(("users.htpasswd", Content::Text("ada:$2y$04$fsx/21FF.K2QIbRfQqOsceBd00w9aRBNXwebMr7OjEfOJh5iA/Suq\n"))),
        ask: Ask { headers: &[("authorization", "Basic YWRhOm9wZW4gc2VzYW1l")], ..GET },
        gets: SEEN,
        other: Some((Ask { headers: &[("authorization", "Basic YWRhOm9wZW4=")], ..GET }, gets(401))),
        peers: &[envoy(
            "basic_auth (SHA-1)",
            "basic_auth.v3.BasicAuth",
            "users: { inline_string: 'ada:{SHA}W8r/fyL/UzygmbNAjq2HbA67qac=' }, forward_username_header: x-user",
        )],
        ..Case::new("basic", "{ use = 'basic', with = { file = 'users.htpasswd', header = 'x-user' } }")
    },
    Case {
        ask: Ask { headers: &[("authorization", "Bearer opaque")], ..GET },
        other: Some((GET, gets(401))),
        ..Case::new("introspect", "{ use = 'introspect', with = { upstream = 'origin', ttl = '1h' } }")
    },
    Case {
        tables: "[secret.partner]\nfile = 'partner.secret'",
        file: Some(("partner.secret", Content::Text(crate::words::SECRET))),
        ask: Ask {
            headers: &[("signature-input", "sig1=@SIGNED@"), ("signature", "sig1=:@SIGNATURE@:")],
            ..GET
        },
        other: Some((GET, gets(401))),
        ..Case::new(
            "hmac",
            "{ use = 'hmac', with = { keys = { partner = { secret = 'partner', consumer = 'partner' } },
               components = ['@method'], window = '1h', replay = true } }",
        )
    },
    Case {
        other: Some((Ask { method: "DELETE", ..GET }, gets(403))),
        peers: &[envoy(
            "rbac by CEL",
            "rbac.v3.RBAC",
            "rules: { action: ALLOW, policies: { safe: { permissions: [{ any: true }], principals: [{ any: true }],
               condition: { call_expr: { function: _!=_, args: [
                 { select_expr: { operand: { ident_expr: { name: request } }, field: method } },
                 { const_expr: { string_value: DELETE } }] } } } } }",
        )],
        ..Case::new(
            "authorize by method",
            r#"{ use = 'authorize', with = { conditions = ['request.method != "DELETE"'] } }"#,
        )
    },
    Case {
        ask: Ask { headers: &[("x-role", "admin")], ..GET },
        other: Some((Ask { headers: &[("x-role", "guest")], ..GET }, gets(403))),
        peers: &[
            envoy(
                "rbac by CEL",
                "rbac.v3.RBAC",
                "rules: { action: ALLOW, policies: { admins: { permissions: [{ any: true }], principals: [{ any: true }],
                   condition: { call_expr: { function: _==_, args: [
                     { call_expr: { function: '_[_]', args: [
                       { select_expr: { operand: { ident_expr: { name: request } }, field: headers } },
                       { const_expr: { string_value: x-role } }] } },
                     { const_expr: { string_value: admin } }] } } } } }",
            ),
            envoy(
                "rbac by header",
                "rbac.v3.RBAC",
                "rules: { action: ALLOW, policies: { admins: { permissions: [{ any: true }],
                   principals: [{ header: { name: x-role, string_match: { exact: admin } } }] } } }",
            ),
        ],
        ..Case::new(
            "authorize by header",
            r#"{ use = 'authorize', with = { conditions = ['request.headers["x-role"] == "admin"'] } }"#,
        )
    },
    Case {
        other: Some((Ask { from: "127.0.0.2", ..GET }, gets(403))),
        peers: &[envoy(
            "rbac by address",
            "rbac.v3.RBAC",
            "rules: { action: ALLOW, policies: { near: { permissions: [{ any: true }], principals: [
               { direct_remote_ip: { address_prefix: 10.0.0.0, prefix_len: 8 } },
               { direct_remote_ip: { address_prefix: 127.0.0.1, prefix_len: 32 } }] } } }",
        )],
        ..Case::new("ip", "{ use = 'ip', with = { allow = ['10.0.0.0/8', '127.0.0.1'] } }")
    },
    Case {
        file: Some(COUNTRIES),
        gets: Gets { has: &["x-seen: de"], ..OK },
        other: Some((Ask { from: "127.0.0.2", ..GET }, Gets { has: &["x-seen: fr"], ..OK })),
        peers: &[envoy("geoip", "geoip.v3.Geoip", MAXMIND)],
        ..Case::new("geo, told", "{ use = 'geo', with = { database = 'country.mmdb', header = 'x-user' } }")
    },
    Case {
        file: Some(COUNTRIES),
        gets: Gets { has: &["x-seen: de"], ..OK },
        other: Some((Ask { from: "127.0.0.2", ..GET }, gets(403))),
        peers: &[Peer {
            then: Some((
                "rbac.v3.RBAC",
                "rules: { action: ALLOW, policies: { near: { permissions: [{ any: true }],
                   principals: [{ header: { name: x-user, string_match: { exact: DE } } }] } } }",
            )),
            ..envoy("geoip, rbac by header", "geoip.v3.Geoip", MAXMIND)
        }],
        ..Case::new(
            "geo",
            "{ use = 'geo', with = { database = 'country.mmdb', allow = ['DE'], header = 'x-user' } }",
        )
    },
    Case {
        tls: true,
        other: Some((Ask { shows: crate::tls::EVE, ..GET }, gets(403))),
        peers: &[envoy(
            "rbac by principal",
            "rbac.v3.RBAC",
            "rules: { action: ALLOW, policies: { ada: { permissions: [{ any: true }], principals: [
               { authenticated: { principal_name: { exact: 'spiffe://example.com/ada' } } }] } } }",
        )],
        ..Case::new(
            "mtls",
            "{ use = 'mtls', with = { allow = [{ uri = 'spiffe://example.com/ada' }], consumer = 'uri' } }",
        )
    },
];
