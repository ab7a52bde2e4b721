//! Connections to upstreams: TLS and whom it trusts, HTTP/2, what is kept and what is not.

use crate::common::{assert_problem, config, config_of_one_worker};
use limen_tests::{Certs, Client, Gateway, Origin, eventually};

/// A further upstream, its route, and more keys of it.
fn upstream(name: &str, endpoint: &str, keys: &str) -> String {
    format!(
        "[upstream.{name}]\nendpoints = [\"{endpoint}\"]\n{keys}\n\
         [[route]]\npath = \"/{name}/**\"\nupstream = \"{name}\"\n"
    )
}

fn clients() -> [Client; 2] {
    [Client::http1(), Client::http2()]
}

#[tokio::test]
async fn https_endpoints_are_verified() {
    let certs = Certs::new();
    let origin = Origin::start_tls(&certs);
    let ca = certs.ca();
    let others = Certs::new();
    let other = others.ca();
    let by_name = origin.url("").replace("127.0.0.1", "localhost");
    let rest = [
        upstream("good", &by_name, &format!("tls = {{ roots = {ca:?}, min_version = \"1.3\" }}")),
        upstream("by-address", &origin.url(""), &format!("tls = {{ roots = {ca:?} }}")),
        upstream("strange", &by_name, &format!("tls = {{ roots = {other:?} }}")),
        upstream("system", &by_name, ""),
        upstream("misnamed", &by_name, &format!("tls = {{ roots = {ca:?}, server_name = \"a.example\" }}")),
        upstream("clear", &by_name.replace("https:", "http:"), ""),
        upstream(
            "any",
            &by_name,
            "tls = { danger_accept_any_certificate = true, server_name = \"a.example\" }",
        ),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    gateway.wait_for_log_containing("danger_accept_any_certificate").await;
    for client in clients() {
        for path in ["/good/x", "/by-address/x", "/any/x"] {
            let answer = client.post(gateway.url(path)).body("in secret").send().await;
            assert_eq!((answer.status.as_u16(), &answer.json()["body"]), (200, &"in secret".into()));
        }
        for (path, why) in [
            ("/strange/x", "invalid peer certificate"),
            ("/system/x", "invalid peer certificate"),
            ("/misnamed/x", "not valid for name"),
        ] {
            gateway.forget_log();
            assert_problem(&client.get(gateway.url(path)).send().await, 502);
            gateway.wait_for_log(|line| line.contains("upstream: ") && line.contains(why)).await;
        }
        assert_problem(&client.get(gateway.url("/clear/x")).send().await, 502);
    }
}

#[tokio::test]
async fn the_protocol_is_agreed_on_or_configured() {
    let (certs, plain) = (Certs::new(), Origin::start());
    let origin = Origin::start_tls(&certs);
    let tls = format!("tls = {{ roots = {:?} }}", certs.ca());
    let rest = [
        upstream("auto", &origin.url(""), &tls),
        upstream("one", &origin.url(""), &format!("{tls}\nprotocol = \"http1\"")),
        upstream("two", &origin.url(""), &format!("{tls}\nprotocol = \"http2\"")),
        upstream("clear", &plain.url(""), ""),
        upstream("h2c", &plain.url(""), "protocol = \"http2\""),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    for client in clients() {
        for (path, version) in [
            ("/auto/x", "HTTP/2.0"),
            ("/one/x", "HTTP/1.1"),
            ("/two/x", "HTTP/2.0"),
            ("/clear/x", "HTTP/1.1"),
            ("/h2c/x", "HTTP/2.0"),
        ] {
            let request = client.post(gateway.url(&format!("{path}?a=1"))).host("api.example.com");
            let seen = request.header("x-two", "1").header("x-two", "2").body("hello").send().await.json();
            assert_eq!(seen["version"], version, "{path}");
            assert_eq!((&seen["path"], &seen["query"]), (&path.into(), &"a=1".into()));
            assert_eq!((&seen["method"], &seen["body"]), (&"POST".into(), &"hello".into()));
            assert_eq!(seen["headers"]["x-two"], serde_json::json!(["1", "2"]));
            let host = if version == "HTTP/2.0" { &seen["host"] } else { &seen["headers"]["host"] };
            assert_eq!(host, "api.example.com", "{seen}");
        }
    }
}

/// Many requests, as few connections as the endpoint allows.
#[tokio::test]
async fn http2_requests_share_connections() {
    let origin = Origin::start();
    let rest = upstream("h2c", &origin.url(""), "protocol = \"http2\"");
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    let mut under_way = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let url = gateway.url("/h2c/echo");
        under_way.spawn(async move { Client::http1().get(url).send().await.status.as_u16() });
    }
    let statuses = under_way.join_all().await;
    assert_eq!(statuses, [200; 50]);
    assert_eq!((origin.requests(), origin.connections()), (50, 1));
}

#[tokio::test]
async fn connections_are_made_ahead_and_kept() {
    let origin = Origin::start();
    let rest = upstream("warm", &origin.url(""), "pool = { warm = 3 }");
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    eventually("three connections", async || (origin.connections() == 3).then_some(())).await;
    for _ in 0..10 {
        assert_eq!(Client::http1().get(gateway.url("/warm/x")).send().await.status, 200);
    }
    assert_eq!((origin.requests(), origin.connections()), (10, 3));
}

#[tokio::test]
async fn no_connection_is_kept_where_none_is_wanted() {
    let origin = Origin::start();
    let rest = [
        upstream("none", &origin.url(""), "pool = { idle = 0 }"),
        upstream("brief", &origin.url(""), "pool = { idle_timeout = \"100ms\" }"),
    ];
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest.join("\n"))).await;
    for made in 1..=3 {
        assert_eq!(Client::http1().get(gateway.url("/none/x")).send().await.status, 200);
        assert_eq!(origin.connections(), made);
    }
    eventually("an idle connection to be closed and another to be made", async || {
        assert_eq!(Client::http1().get(gateway.url("/brief/x")).send().await.status, 200);
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        (origin.connections() >= 5).then_some(())
    })
    .await;
}
