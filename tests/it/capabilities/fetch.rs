//! Calls of policies: through the gateway's upstreams, to those that are granted, and never without end.

use crate::common::{assert_problem, config, config_of_one_worker, guest_plugin_with, listener, route};
use limen_tests::client::Request;
use limen_tests::{Client, Gateway, Origin, eventually};
use std::time::{Duration, Instant};

pub(super) const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";
const GRANTED: &str = r#"grants = { fetch = ["origin"] }"#;
pub(super) const PATIENT: &str = r#"cpu = "2s", wall = "20s""#;

/// A gateway with the guest on all paths, these of its limits, and more.
pub(super) async fn start(origin: &Origin, limits: &str, rest: &str) -> Gateway {
    let keys = format!("{GRANTED}\nlimits = {{ {limits} }}");
    let rest = [ADMIN, &guest_plugin_with("fetches", &keys), rest, &route("/**", "\"fetches\"")].join("\n");
    Gateway::start(config(origin, &rest)).await
}

pub(super) fn ask(gateway: &Gateway, what: &str) -> Request<'static> {
    Client::http1().get(gateway.url("/")).header("x-do", what)
}

pub(super) async fn told(gateway: &Gateway, what: &str, path: &str) -> String {
    let answer = ask(gateway, what).header("x-path", path).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// The value of a sample of `/metrics`, by the beginning of its line.
pub(super) async fn metric(gateway: &Gateway, name: &str) -> Option<f64> {
    let text = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

fn outcome(outcome: &str) -> String {
    format!(
        "limen_plugin_fetches_total{{limen_plugin=\"fetches\",limen_upstream=\"origin\",outcome=\"{outcome}\"}}"
    )
}

async fn wait_until_none_is_under_way(gateway: &Gateway) {
    eventually("no call is under way", async || {
        let under_way = metric(gateway, "limen_plugin_fetches_in_flight").await;
        (under_way == Some(0.0)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_policy_calls_the_upstreams_that_it_is_granted() {
    let origin = Origin::start();
    let other = format!("[upstream.other]\nendpoints = [\"{origin}\"]");
    let gateway = start(&origin, PATIENT, &other).await;
    assert!(!gateway.log().iter().any(|line| line.contains("no image")), "handles are no obstacle");

    let answer = told(&gateway, "one", "/fetched?a=b").await;
    let (head, body) = answer.split_once('\n').unwrap();
    assert_eq!(head, "200 application/json");
    let echo: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&echo["method"], &echo["path"], &echo["query"]),
        (&"GET".into(), &"/fetched".into(), &"a=b".into())
    );
    assert_eq!(echo["headers"]["host"], origin.address().to_string());
    assert_eq!(echo["headers"]["via"], "1.1 limen");
    assert_eq!(echo["headers"]["x-do"], serde_json::Value::Null, "nothing of the client's own goes along");

    assert_eq!(told(&gateway, "post", "/upload").await, "200");
    assert_eq!(told(&gateway, "pieces", "/bytes/100000").await, "pieces 100000");
    assert_eq!(
        told(&gateway, "one", "/status/404").await.lines().next(),
        Some("404 text/plain; charset=utf-8")
    );
    for upstream in ["other", "nobody", ""] {
        let denied = ask(&gateway, "one").header("x-upstream", upstream).send().await;
        assert_eq!(denied.text(), "Denied", "{upstream}");
    }
    for (what, why) in [
        ("send-much", "TooLarge"),
        ("send-split", "Invalid"),
        ("connect", "Invalid"),
        ("forbidden", "taken: []"),
    ] {
        assert_eq!(told(&gateway, what, "/fetched").await, why);
    }
    for path in ["", "no-slash", "http://elsewhere/", "/a b"] {
        assert_eq!(told(&gateway, "one", path).await, "Invalid", "{path}");
    }

    let logged = Client::http1().get(gateway.url("/")).header("x-log", "1").send().await;
    assert_eq!(logged.status, 200);
    gateway.wait_for_log_containing("at the end: 200").await;
    assert_eq!(metric(&gateway, &outcome("answered")).await, Some(5.0));
}

#[tokio::test]
async fn without_the_grant_it_is_not_loaded() {
    let origin = Origin::start();
    let rest = [guest_plugin_with("fetches", ""), route("/**", "\"fetches\"")].join("\n");
    let refused = Gateway::with(config(&origin, &rest)).check().await;
    assert_eq!(refused.status.code(), Some(1));
    for part in ["imports `fetch`, which it is not granted", r#"grants = { fetch = ["UPSTREAM"] }"#] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    let keys = r#"grants = { fetch = ["origins"] }"#;
    let rest = [guest_plugin_with("fetches", keys), route("/**", "\"fetches\"")].join("\n");
    let refused = Gateway::with(config(&origin, &rest)).check().await;
    assert!(refused.stderr.contains("did you mean `origin`?"), "{}", refused.stderr);
}

#[tokio::test]
async fn failures_have_names() {
    let origin = Origin::start();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("[upstream.gone]\nendpoints = [\"http://{nobody}\"]");
    let keys = format!("grants = {{ fetch = [\"gone\", \"origin\"] }}\nlimits = {{ {PATIENT} }}");
    let rest = [gone, guest_plugin_with("fetches", &keys), route("/**", "\"fetches\"")].join("\n");
    let gateway = Gateway::start(config(&origin, &rest)).await;

    let unreachable = ask(&gateway, "one").header("x-upstream", "gone").send().await;
    assert_eq!(unreachable.text(), "Unreachable");
    gateway.wait_for_log_containing("a call of a policy failed").await;
    assert_eq!(told(&gateway, "soon", "/slow?ms=60000").await, "TimedOut");
    assert_eq!(told(&gateway, "one", "/hangup").await, "Broken");
    assert_eq!(told(&gateway, "one", "/garbage").await, "Broken");
    let cut_off = told(&gateway, "one", "/close").await;
    assert!(cut_off.ends_with("\nBroken"), "{cut_off}");
    for path in ["/bytes/2000000", "/bytes/2000000?chunked"] {
        let long = told(&gateway, "one", path).await;
        assert!(long.starts_with("200") && long.ends_with("\nTooLarge"), "{long}");
    }
}

#[tokio::test]
async fn waiting_uses_up_no_cpu_time() {
    let origin = Origin::start();
    let gateway = start(&origin, r#"cpu = "60ms", wall = "20s""#, "").await;
    // With the ticks that come meanwhile, it would be 150 ms at least.
    let waits = ask(&gateway, "after-another").header("x-times", "150").header("x-path", "/slow?ms=4");
    let answer = waits.send().await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "done"));
}

#[tokio::test]
async fn the_wall_limit_ends_a_call_and_the_calls_under_way() {
    let origin = Origin::start();
    let gateway = start(&origin, r#"cpu = "100ms", wall = "300ms""#, "").await;
    let begun = Instant::now();
    let slow = ask(&gateway, "at-once").header("x-times", "20").header("x-path", "/slow?ms=60000");
    assert_problem(&slow.send().await, 503);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    gateway.wait_for_log_containing("took longer than 300ms").await;
    wait_until_none_is_under_way(&gateway).await;
    assert_eq!(metric(&gateway, &outcome("cancelled")).await, Some(20.0));
}

#[tokio::test]
async fn when_the_client_leaves_its_calls_are_cancelled() {
    let origin = Origin::start();
    let gateway = start(&origin, r#"cpu = "2s", wall = "10m""#, "").await;
    for client in [Client::http1(), Client::http2()] {
        let slow = client.get(gateway.url("/")).header("x-do", "at-once").header("x-times", "5");
        let leaving = tokio::spawn(slow.header("x-path", "/slow?ms=600000").send());
        eventually("the calls are under way", async || {
            (metric(&gateway, "limen_plugin_fetches_in_flight").await == Some(5.0)).then_some(())
        })
        .await;
        leaving.abort();
        wait_until_none_is_under_way(&gateway).await;
    }
    assert_eq!(metric(&gateway, &outcome("cancelled")).await, Some(10.0));
    assert_eq!(
        told(&gateway, "one", "/status/204").await.lines().next(),
        Some("204 text/plain; charset=utf-8")
    );
}

#[tokio::test]
async fn a_thousand_at_once_are_a_thousand_or_as_many_as_may_be() {
    let origin = Origin::start();
    for (limit, expected) in [(1000, "1000 200"), (10, "10 200, 990 TooMany")] {
        let gateway = start(&origin, &format!("{PATIENT}, fetches = {limit}"), "").await;
        for _ in 0..2 {
            let all = ask(&gateway, "at-once").header("x-times", "1000").header("x-path", "/slow?ms=50");
            assert_eq!(all.send().await.text(), expected);
        }
        wait_until_none_is_under_way(&gateway).await;
    }
}

#[tokio::test]
async fn what_is_never_read_is_given_up_with_the_exchange() {
    let origin = Origin::start();
    for isolate in ["fresh", "reused"] {
        let keys = format!("isolate = {isolate:?}\n{GRANTED}\nlimits = {{ {PATIENT} }}");
        let rest = [ADMIN, &guest_plugin_with("fetches", &keys), &route("/**", "\"fetches\"")].join("\n");
        let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
        let before = gateway.rss_bytes();
        for _ in 0..10 {
            let held = ask(&gateway, "hold").header("x-times", "20").header("x-path", "/bytes/50000000");
            assert_eq!(held.send().await.status, 200);
        }
        wait_until_none_is_under_way(&gateway).await;
        let grown = gateway.rss_bytes().saturating_sub(before);
        assert!(grown < 200 << 20, "grown by {grown} bytes");
    }
}

#[tokio::test]
async fn a_policy_that_calls_for_ever_holds_up_nobody() {
    let origin = Origin::start();
    let plain = "[[route]]\npath = \"/plain\"\nupstream = \"origin\"";
    let gateway = start(&origin, r#"cpu = "1s", wall = "2s""#, plain).await;
    let loops: Vec<_> = (0..4).map(|_| tokio::spawn(ask(&gateway, "loop").send())).collect();
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(Client::http1().get(gateway.url("/plain")).send().await.status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for answer in loops {
        assert_problem(&answer.await.unwrap(), 503);
    }
    wait_until_none_is_under_way(&gateway).await;
}

#[tokio::test]
async fn an_upstreams_own_limits_hold() {
    let origin = Origin::start();
    let tight =
        format!("[upstream.tight]\nendpoints = [\"{origin}\"]\nlimits = {{ requests = 1, queue = 0 }}");
    let keys = format!("grants = {{ fetch = [\"tight\"] }}\nlimits = {{ {PATIENT} }}");
    let rest = [tight, guest_plugin_with("fetches", &keys), route("/**", "\"fetches\"")].join("\n");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let three = ask(&gateway, "at-once").header("x-times", "3").header("x-upstream", "tight");
    assert_eq!(three.header("x-path", "/slow?ms=200").send().await.text(), "1 200, 2 Overloaded");
}

#[tokio::test]
async fn a_circle_ends() {
    let origin = Origin::start();
    let with = |itself: &str, forwarded: &str| {
        let keys = format!("grants = {{ fetch = [\"itself\"] }}\nlimits = {{ {PATIENT} }}");
        [
            forwarded.to_owned(),
            listener().to_owned(),
            format!("[upstream.itself]\nendpoints = [\"{itself}\"]"),
            format!("[upstream.origin]\nendpoints = [\"{origin}\"]"),
            guest_plugin_with("fetches", &keys),
            route("/**", "\"fetches\""),
        ]
        .join("\n")
    };
    let gateway = Gateway::start(with("http://127.0.0.1:9", "")).await;
    for forwarded in ["", "[gateway]\nforwarded = []"] {
        gateway.forget_log();
        gateway.write_config(with(&gateway.url(""), forwarded));
        gateway.wait_for_log_containing("the configuration is live").await;
        assert_eq!(ask(&gateway, "circle").send().await.status, 508);
    }
}

#[tokio::test]
async fn a_call_ends_in_the_configuration_that_it_began_in() {
    let origin = Origin::start();
    let with = |upstream: &str| {
        let keys = format!("grants = {{ fetch = [\"{upstream}\"] }}\nlimits = {{ {PATIENT} }}");
        let called = format!("[upstream.{upstream}]\nendpoints = [\"{origin}\"]");
        let rest =
            [ADMIN.to_owned(), called, guest_plugin_with("fetches", &keys), route("/**", "\"fetches\"")];
        config(&origin, &rest.join("\n"))
    };
    let gateway = Gateway::start(with("before")).await;
    let slow = ask(&gateway, "after-another").header("x-upstream", "before").header("x-times", "2");
    let slow = tokio::spawn(slow.header("x-path", "/slow?ms=1000").send());
    eventually("a call is under way", async || {
        (metric(&gateway, "limen_plugin_fetches_in_flight").await == Some(1.0)).then_some(())
    })
    .await;
    gateway.write_config(with("after"));
    gateway.wait_for_log_containing("the configuration is live").await;
    assert_eq!(ask(&gateway, "one").header("x-upstream", "before").send().await.text(), "Denied");
    assert_eq!(slow.await.unwrap().text(), "done");
}
