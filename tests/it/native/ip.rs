use super::{gateway, mistake};
use crate::common::{assert_problem, config, route};
use limen_tests::{Client, Gateway, Origin};

#[tokio::test]
async fn an_address_passes_or_is_refused() {
    let origin = Origin::start();
    let passing = gateway(&origin, r#"{ use = "ip", with = { allow = ["127.0.0.0/8"] } }"#).await;
    assert_eq!(Client::http1().get(passing.url("/")).send().await.status, 200);

    let refusing = gateway(&origin, r#"{ use = "ip", with = { deny = ["127.0.0.1"] } }"#).await;
    let before = origin.requests();
    assert_problem(&Client::http1().get(refusing.url("/")).send().await, 403);
    assert_eq!(origin.requests(), before, "the upstream saw nothing of it");
    let line = refusing.wait_for_log_containing("the address 127.0.0.1 is in `deny`").await;
    assert!(line.contains("forbidden"), "{line}");
}

#[tokio::test]
async fn it_is_the_client_behind_a_trusted_proxy() {
    let origin = Origin::start();
    let rest = route("/**", r#"{ use = "ip", with = { allow = ["192.0.2.0/24"] } }"#);
    let trusting = format!("[gateway]\ntrusted_proxies = [\"127.0.0.1\"]\n{}", config(&origin, &rest));
    for (text, statuses) in [(trusting, [200, 403]), (config(&origin, &rest), [403, 403])] {
        let gateway = Gateway::start(text).await;
        for (address, status) in ["192.0.2.7", "198.51.100.7"].into_iter().zip(statuses) {
            let asked = Client::http1().get(gateway.url("/")).header("x-forwarded-for", address).send().await;
            assert_eq!(asked.status, status, "{address}");
        }
    }
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(r#"{ use = "ip", with = { deny = ["10.0.0.0/8", "10.1.2.3/8"] } }"#).await;
    assert!(said.contains("policy `ip`: a network with bits behind its prefix: `10.1.2.3/8`"), "{said}");
    assert!(said.contains("did you mean \"10.0.0.0/8\"?") && said.contains("with.deny[1]"), "{said}");
    assert!(mistake(r#""ip""#).await.contains("neither `allow` nor `deny`"));
}
