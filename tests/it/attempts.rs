//! Policies that see each attempt at an upstream: with its head as it goes there, and for it alone.

use crate::common::{assert_problem, body_plugin, config, guest_plugin, route};
use limen_tests::raw::{RawOrigin, Reply};
use limen_tests::{Act, Client, Gateway, Origin, Scripted};

fn to(upstream: &str, keys: &str, policies: &str) -> String {
    format!(
        "{}\n{}\n[upstream.other]\nendpoints = [{upstream:?}]\n{keys}\n[[route]]\npath = \"/api/**\"\n\
         upstream = \"other\"\npolicies = [{policies}]\nrewrite = {{ prefix = \"/\" }}\n",
        guest_plugin("signs"),
        body_plugin("bodies"),
    )
}

#[tokio::test]
async fn an_attempt_is_signed_as_it_goes_to_the_upstream() {
    let origin = Origin::start();
    let rest = to(&origin.url(""), "host = \"other.test\"", "\"signs\"");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    for client in [Client::http1(), Client::http2()] {
        let request = client.post(gateway.url("/api/a/b?c=1")).header("x-secret", "s").body("x").send();
        let answer = request.await;
        let seen = answer.json();
        let signature = format!("1 POST other.test /a/b?c=1 at {} for the 1. time", origin.address());
        assert_eq!(seen["headers"]["x-signature"], signature);
        assert!(seen["headers"]["x-secret"].is_null(), "{seen}");
        // The exchange itself is as the client sent it, and the isolate is the same.
        assert_eq!(answer.header("x-saw"), Some("/api/a/b false"));
        assert_eq!(answer.header("x-attempts"), Some("1"));
    }
}

#[tokio::test]
async fn each_attempt_begins_with_the_head_as_it_was() {
    let origin = Origin::start();
    let flaky = RawOrigin::start({
        let asked = std::sync::atomic::AtomicU32::new(0);
        move |head| {
            let number = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let signature = head.lines().filter(|line| line.starts_with("x-signature")).collect::<Vec<_>>();
            let text = signature.join("; ");
            let status = if number % 3 < 2 { "503 Service Unavailable" } else { "200 OK" };
            Reply::Keep(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{text}", text.len()).into())
        }
    })
    .await;
    let keys = "retries = { max = 2, on = [\"503\"], budget = { minimum = 100 } }";
    let gateway = Gateway::start(config(&origin, &to(&flaky.url(), keys, "\"signs\""))).await;
    for _ in 0..2 {
        let answer = Client::http1().get(gateway.url("/api/x")).send().await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("x-attempts")),
            (200, Some("3")),
            "{}",
            answer.text()
        );
        // One signature and not three, and it is that of the third attempt.
        assert!(answer.text().starts_with("x-signature: 3 GET"), "{}", answer.text());
        assert!(
            answer.text().ends_with("for the 3. time") && !answer.text().contains(';'),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn the_next_endpoint_is_an_attempt_of_its_own() {
    let origin = Origin::start();
    let (url, nowhere) = (origin.url(""), "http://127.0.0.1:1");
    let endpoints = format!("{nowhere}\", \"{url}");
    let rest = to(&endpoints, "balance = \"round-robin\"", "\"signs\"").replace("\\\"", "\"");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let mut second = 0;
    for _ in 0..4 {
        let seen = Client::http1().get(gateway.url("/api/x")).send().await.json();
        let signature = seen["headers"]["x-signature"].as_str().unwrap().to_owned();
        assert!(signature.contains(&origin.address().to_string()), "{signature}");
        second += u32::from(signature.starts_with("2 "));
    }
    assert!(second > 0, "one of them was sent to nowhere first");
}

#[tokio::test]
async fn an_attempt_can_be_answered_or_fail_instead() {
    let origin = Origin::start();
    let or = |on_error: &str| format!("{{ use = \"signs\", on_error = {on_error} }}");
    let rest = [
        guest_plugin("signs"),
        route("/refuse", "\"signs\""),
        route("/skip", &or("\"skip\"")),
        route("/says", &or("{ status = 429 }")),
    ];
    let gateway = Gateway::start(config(&origin, &rest.join("\n"))).await;
    let ask = |path: &str, how: &str| {
        let request = Client::http1().get(gateway.url(path)).header("x-naughty", how);
        request.send()
    };
    let before = origin.requests();
    let answer = ask("/refuse", "reply").await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (418, "not signed\n"));
    assert_eq!(answer.header("x-attempts"), Some("1"), "its response hook sees the answer");
    for (how, status) in [("fail", 500), ("panic", 503), ("path", 500)] {
        assert_problem(&ask("/refuse", how).await, status);
        assert_problem(&ask("/says", how).await, 429);
    }
    assert_eq!(origin.requests(), before, "none of it goes further");
    gateway.wait_for_log_containing("told to fail").await;
    let skipped = ask("/skip", "fail").await;
    assert_eq!(skipped.status, 200);
    assert!(skipped.json()["headers"]["x-signature"].is_null());
    assert!(ask("/refuse", "").await.json()["headers"]["x-signature"].is_string());
}

#[tokio::test]
async fn a_retry_can_be_answered_instead() {
    let origin = Origin::start();
    let failing = Scripted::start(|_, _| Act::Answer(503)).await;
    let keys = "retries = { max = 2, on = [\"503\"], budget = { minimum = 100 } }";
    let rest = to(&failing.to_string(), keys, "\"signs\"");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let answer = Client::http1().get(gateway.url("/api/x")).header("x-naughty", "reply-later").send().await;
    assert_eq!((answer.status.as_u16(), &*answer.text()), (418, "once\n"));
    assert_eq!(failing.requests(), 1);
}

/// A body that a policy has buffered, and a time limit for the whole request, change nothing of it.
#[tokio::test]
async fn it_goes_along_with_bodies_and_time_limits() {
    let origin = Origin::start();
    let policies =
        "{ use = \"bodies\", with = { request = \"upper\", response = { append = \"!\" } } }, \"signs\"";
    let rest = to(&origin.url(""), "timeout = { total = \"20s\" }", policies)
        + "timeout = { request = \"20s\" }\n[[route]]\npath = \"/slow\"\nupstream = \"origin\"\n\
           policies = [\"signs\"]\ntimeout = { request = \"200ms\" }\n";
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let answer = Client::http1().post(gateway.url("/api/x")).body("hello").send().await;
    assert!(
        answer.text().contains("\"body\": \"HELLO\"") && answer.text().ends_with('!'),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains("x-signature"), "{}", answer.text());
    let late = Client::http1().get(gateway.url("/slow?ms=10000")).send().await;
    assert_problem(&late, 504);
    assert_eq!(late.header("x-attempts"), Some("1"), "its isolate is still there");
}
