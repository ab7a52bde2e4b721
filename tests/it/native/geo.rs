use super::mistake;
use crate::common::{assert_problem, config, route};
use limen_tests::{Client, Gateway, Origin, countries, eventually};
use serde_json::json;

/// Networks that are meant for examples (RFC 5737), and one of addresses of version 6.
const WORLD: &[(&str, &str)] =
    &[("::c000:200/120", "DE"), ("::c633:6400/120", "FR"), ("2001:db8::/32", "US")];

async fn gateway(origin: &Origin, with: &str) -> Gateway {
    let policy = format!("{{ use = \"geo\", with = {{ database = \"country.mmdb\", {with} }} }}");
    let rest = format!(
        "[gateway]\ntrusted_proxies = [\"127.0.0.1\"]\n[log]\naccess = true\n{}",
        config(origin, &route("/**", &policy))
    );
    Gateway::with(rest).file("country.mmdb", countries(WORLD)).start().await
}

async fn status(gateway: &Gateway, address: &str) -> u16 {
    let asked =
        Client::http1().get(gateway.url("/")).header("x-forwarded-for", address).header("x-country", "XX");
    asked.send().await.status.as_u16()
}

#[tokio::test]
async fn a_country_passes_or_is_refused() {
    let origin = Origin::start();
    let allowing = gateway(&origin, r#"allow = ["de", "US"]"#).await;
    let denying = gateway(&origin, r#"deny = ["FR"]"#).await;
    let strict = gateway(&origin, r#"deny = ["FR"], unknown = "deny""#).await;
    for (address, statuses) in [
        ("192.0.2.7", [200, 200, 200]),
        ("198.51.100.7", [403, 403, 403]),
        ("2001:db8::1", [200, 200, 200]),
        ("203.0.113.1", [403, 200, 403]),
    ] {
        for (gateway, expected) in [&allowing, &denying, &strict].into_iter().zip(statuses) {
            assert_eq!(status(gateway, address).await, expected, "{address}");
        }
    }
    let refused =
        Client::http1().get(denying.url("/")).header("x-forwarded-for", "198.51.100.7").send().await;
    assert_problem(&refused, 403);
    denying.wait_for_log_containing("is in a country (FR) that is in `deny`").await;
}

#[tokio::test]
async fn the_upstream_learns_the_country_and_nobody_else_says_it() {
    let origin = Origin::start();
    let gateway = gateway(&origin, r#"header = "x-country""#).await;
    for (address, country) in [("192.0.2.7", json!("DE")), ("203.0.113.1", json!(null))] {
        let asked = Client::http1().get(gateway.url("/")).header("x-forwarded-for", address);
        let seen = asked.header("x-country", "XX").send().await.json();
        assert_eq!(seen["headers"]["x-country"], country, "{address}");
    }
}

#[tokio::test]
async fn a_new_database_is_seen_and_a_broken_one_changes_nothing() {
    let origin = Origin::start();
    let gateway = gateway(&origin, r#"deny = ["FR"]"#).await;
    assert_eq!(status(&gateway, "192.0.2.7").await, 200);
    gateway.replace_file("country.mmdb", countries(&[("::c000:200/120", "FR")]));
    eventually("the new database", async || (status(&gateway, "192.0.2.7").await == 403).then_some(())).await;
    let whole = countries(WORLD);
    gateway.replace_file("country.mmdb", &whole[..whole.len() / 2]);
    gateway.wait_for_log_containing("country.mmdb").await;
    assert_eq!(status(&gateway, "192.0.2.7").await, 403, "what was good goes on");
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(r#"{ use = "geo", with = { database = "none.mmdb", deny = ["FR"] } }"#).await;
    assert!(said.contains("none.mmdb") && said.contains("with.database"), "{said}");
    let said = mistake(r#"{ use = "geo", with = { database = "none.mmdb", deny = ["France"] } }"#).await;
    assert!(
        said.contains("not the code of a country like \"DE\"") && said.contains("with.deny[0]"),
        "{said}"
    );
}
