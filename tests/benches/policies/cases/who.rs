//! Policies that find out who asks, and whether that one may.

use super::{Ask, Case, GET, Gets, OK, envoy, gets};

const SEEN: Gets = Gets { has: &["x-seen: ada"], ..OK };

pub const CASES: &[Case] = &[
    Case {
        tables: "[key_set.idp]\njwks = 'idp.json'\nissuer = 'https://id.example.com'\naudience = 'orders'",
        file: Some(("idp.json", crate::words::JWKS)),
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
        file: Some(("users.htpasswd", "ada:$2y$04$fsx/21FF.K2QIbRfQqOsceBd00w9aRBNXwebMr7OjEfOJh5iA/Suq\n")),
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
        file: Some(("partner.secret", crate::words::SECRET)),
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
];
