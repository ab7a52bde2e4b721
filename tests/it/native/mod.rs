//! Policies that are part of the gateway, used as users do: by name, on a line of TOML.

mod api_key;
mod authorize;
mod basic;
mod cache;
mod compress;
mod concurrency;
mod cors;
mod geo;
mod graphql;
mod hmac;
mod introspect;
mod ip;
mod json;
mod jwt;
mod jwt_attacks;
mod jwt_issuers;
mod marks;
mod mock;
mod mtls;
mod openapi;
mod quota;
mod rate_limit;
mod redirect;
mod respond;
mod rewrite;
mod security_headers;
mod shared_concurrency;
mod shared_failover;
mod shared_keys;
mod shared_limits;
mod size;
mod throttle;
mod xml_json;

use limen_tests::{Gateway, Origin};

use crate::capabilities::jwt::Issuer;
use crate::common::{config, listener, route};

const SECRET: &str = "a shared secret of thirty-two bytes and more";
const REFERENCE: &str = include_str!("../../../host/policy/REFERENCE.md");

/// A gateway with the access log and a route with these policies.
async fn gateway(origin: &Origin, policies: &str) -> Gateway {
    let rest = format!("[log]\naccess = true\n{}", route("/**", policies));
    Gateway::start(config(origin, &rest)).await
}

/// What `limen check` says of these policies, which are not right.
async fn mistake(policies: &str) -> String {
    let origin = Origin::start();
    let checked = Gateway::with(config(&origin, &route("/**", policies))).check().await;
    assert_eq!(checked.status.code(), Some(1), "{}", checked.stdout);
    checked.stderr
}

#[tokio::test]
async fn each_policy_has_an_example_that_is_a_good_one() {
    let origin = Origin::start();
    let chapters: Vec<_> = REFERENCE.split("\n## `").skip(1).collect();
    assert!(chapters.len() >= 5);
    for chapter in chapters {
        let (_, example) = chapter.split_once("```toml\n").unwrap_or_else(|| panic!("no example: {chapter}"));
        let (example, _) = example.split_once("```").unwrap();
        let route = if example.contains("[[route]]") { "" } else { "[[route]]\nupstream = \"orders\"\n" };
        let upstream = format!("[upstream.orders]\nendpoints = [\"{origin}\"]\n");
        let text = [&upstream, listener(), route, example].concat();
        let countries = limen_tests::countries(&[("2001:db8::/32", "DE")]);
        let gateway = Gateway::with(text).file("idp.json", Issuer::new().jwks("one"));
        let gateway = gateway.file("country.mmdb", countries).file("api.yaml", openapi::SMALL);
        let gateway = gateway.file("users.htpasswd", basic::USERS);
        let gateway = gateway.env("PARTNER_SECRET", SECRET).env("INTROSPECTION_SECRET", SECRET);
        let checked = gateway.check().await;
        assert!(checked.status.success(), "{example}\n{}", checked.stderr);
    }
}
