//! `limen policy bench`: that its figures are those of the policy, and that nonsense is told.

use super::text;
use limen_tests::{Finished, Gateway, guest};
use serde_json::Value;

const CASES: &str = r#"
[plugin]
limits = { cpu = "1s", wall = "5s" }

[[case]]
name    = "refused settings are not measured"
with    = { unknown = true }
refused = "unknown"

[[case]]
name    = "a request"
request = { target = "/orders", headers = { x-a = "1" } }
answer  = { body = "hello" }
"#;

async fn bench(name: &str, cases: &str, arguments: &[&str]) -> Finished {
    let component = guest(name);
    let mut all = vec!["policy", "bench", text(&component), "--case", "cases.toml", "--rounds", "5"];
    all.extend(arguments);
    Gateway::with("").file("cases.toml", cases).finish(&all).await
}

#[tokio::test]
async fn figures_are_those_of_the_policy() {
    let measured = bench("counter", CASES, &["--json"]).await;
    assert!(measured.status.success(), "{}", measured.stderr);
    let json: Value = serde_json::from_str(&measured.stdout).unwrap();
    let number = |pointer: &str| json.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    assert_eq!((json["name"].as_str(), json["requests"].as_u64()), (Some("counter"), Some(250)));
    assert_eq!(
        (json["case"]["name"].as_str(), json["case"]["status"].as_u64()),
        (Some("a request"), Some(200))
    );
    for (pointer, least, most) in [
        ("/load/compileMicroseconds", 1e3, 1e9),
        ("/load/configureMicroseconds", 1e2, 1e9),
        ("/load/codeBytes", 1e4, 1e8),
        ("/request/withoutMicroseconds/median", 5.0, 1e5),
        ("/request/freshAddsMicroseconds/median", 0.1, 1e5),
        ("/underLoad/withoutMicroseconds/median", 5.0, 1e5),
        ("/underLoad/freshAddsMicroseconds/median", 0.1, 1e5),
        ("/hooks/request/freshNanoseconds/median", 100.0, 1e8),
        ("/hooks/response/reusedNanoseconds/median", 100.0, 1e8),
        ("/isolate/memoryBytes", 65536.0, 1e9),
    ] {
        assert!((least..most).contains(&number(pointer)), "{pointer}: {json:#}");
    }
    // Each hook once a request, and two headers set on the response; the log hook it does not have.
    assert_eq!(number("/hooks/request/perRequest"), 1.0);
    assert_eq!(number("/hostCalls"), 2.0);
    assert!(json["hooks"]["log"].is_null(), "{json:#}");
    assert_eq!((number("/underLoad/requestsAtATime"), number("/underLoad/requests")), (64.0, 5120.0));
    assert_eq!(
        (number("/bytesCrossed/toPolicy"), number("/bytesCrossed/fromPolicy")),
        (0.0, 23.0), // `x-count: 1` and `x-configured: yes`
    );
}

#[tokio::test]
async fn pieces_of_bodies_cross_as_well() {
    let cases = r#"
with   = { response = "upper" }
plugin = { grants = { request_body = true, response_body = true } }

[[case]]
name   = "a response"
answer = { body = { text = "x", repeat = 5000 } }
"#;
    let measured = bench("streams", cases, &["--json"]).await;
    assert!(measured.status.success(), "{}", measured.stderr);
    let json: Value = serde_json::from_str(&measured.stdout).unwrap();
    for way in ["toPolicy", "fromPolicy"] {
        let bytes = json["bytesCrossed"][way].as_f64().unwrap();
        assert!((5000.0..5200.0).contains(&bytes), "{way}: {json:#}");
    }
}

#[tokio::test]
async fn figures_can_be_read() {
    let shown = bench("counter", CASES, &["--name", "request"]).await;
    assert!(shown.status.success(), "{}", shown.stderr);
    for expected in [
        "with the request of \"a request\"",
        "answered 200",
        "without it",
        "fresh isolate",
        "under load",
        "host calls",
        "bytes crossed",
    ] {
        assert!(shown.stdout.contains(expected), "{expected}: {}", shown.stdout);
    }
}

#[tokio::test]
async fn what_is_not_worth_much_is_told() {
    let naughty = "request = { headers = { x-naughty = \"panic\" } }";
    let failing = bench("traps", &CASES.replace("request = { target", &format!("{naughty}\n#")), &[]).await;
    assert!(failing.stdout.contains("warning: the policy failed"), "{} {}", failing.stdout, failing.stderr);
    let unknown = bench("counter", CASES, &["--name", "nobody"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(unknown.stderr.contains("no case to measure"), "{}", unknown.stderr);
    let broken = bench("counter", "[[case]]\nnme = 1\n", &[]).await;
    assert!(broken.stderr.contains("did you mean `name`?"), "{}", broken.stderr);
    let setup = Gateway::with("").file("text.wasm", "hello").file("cases.toml", CASES);
    let text = setup.finish(&["policy", "bench", "text.wasm", "--case", "cases.toml"]).await;
    assert!(text.stderr.contains("not WebAssembly"), "{}", text.stderr);
}
