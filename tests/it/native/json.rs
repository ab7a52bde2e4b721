use super::{gateway, mistake};
use crate::common::{assert_problem, config, route};
use limen_tests::{Answer, Client, Gateway, Origin};

const EDITS: &str = r#"remove = ["/password", "/items/*/cost"], rename = { "/items/*/sku" = "number" }, move = { "/data/user" = "/user" }, set = { "/via" = "limen", "/meta/n" = 1 }, mask = ["/card"], keep = 4"#;
const BEFORE: &str = r#"{"password":"x","items":[{"sku":1,"cost":2},{"sku":12345678901234567890123,"cost":3}],"data":{"user":{"id":1.10}},"card":"4111 1111 1111 1111"}"#;
const AFTER: &str = r#"{"items":[{"number":1},{"number":12345678901234567890123}],"data":{},"card":"****1111","user":{"id":1.10},"meta":{"n":1},"via":"limen"}"#;

/// A gateway with this policy, that answers `/N` with the Nth of these files, and else asks the origin.
async fn answering(origin: &Origin, policy: &str, files: &[(&str, &[u8])]) -> Gateway {
    let mut text = config(origin, &format!("[log]\naccess = true\n{}", route("/**", policy)));
    for (n, (kind, _)) in files.iter().enumerate() {
        let headers =
            format!(r#"{{ content-type = "{kind}", etag = "\"1\"", content-digest = "sha-256=:x=:" }}"#);
        let respond = format!(r#"{{ use = "respond", with = {{ file = "{n}", headers = {headers} }} }}"#);
        text += &route(&format!("/{n}"), &format!("{policy}, {respond}"));
    }
    let setup = Gateway::with(text);
    let setup =
        files.iter().enumerate().fold(setup, |setup, (n, (_, body))| setup.file(&n.to_string(), body));
    setup.start().await
}

async fn post(gateway: &Gateway, kind: &str, body: impl Into<bytes::Bytes>) -> Answer {
    let asked = Client::http1().post(gateway.url("/")).header("content-type", kind);
    asked.header("content-digest", "sha-256=:x=:").body(body).send().await
}

#[tokio::test]
async fn requests_are_changed_before_the_upstream_sees_them() {
    let origin = Origin::start();
    let gateway =
        gateway(&origin, &format!(r#"{{ use = "json", with = {{ request = {{ {EDITS} }} }} }}"#)).await;
    for kind in ["application/json", "application/vnd.api+json; charset=utf-8", "TEXT/JSON"] {
        let seen = post(&gateway, kind, BEFORE).await.json();
        assert_eq!(seen["body"], AFTER, "{kind}");
        assert_eq!(seen["headers"]["content-length"], AFTER.len().to_string());
        assert!(seen["headers"].get("content-digest").is_none(), "{seen}");
    }
    for kind in ["text/plain", "application/x-ndjson", "json"] {
        let seen = post(&gateway, kind, BEFORE).await.json();
        assert_eq!(seen["body"], BEFORE, "{kind}");
        assert_eq!(seen["headers"]["content-digest"], "sha-256=:x=:");
    }
    assert_eq!(post(&gateway, "application/json", "").await.status, 200);
    assert_eq!(
        post(&gateway, "application/json", "[ 1 ]").await.json()["body"],
        "[ 1 ]",
        "untouched is untouched"
    );
}

#[tokio::test]
async fn responses_are_changed_before_the_client_sees_them() {
    let origin = Origin::start();
    let policy = format!(r#"{{ use = "json", with = {{ response = {{ {EDITS} }} }} }}"#);
    let files = [
        ("application/json", BEFORE.as_bytes()),
        ("text/plain", BEFORE.as_bytes()),
        ("application/hal+json", b"[]"),
    ];
    let gateway = answering(&origin, &policy, &files).await;
    for client in [Client::http1(), Client::http2()] {
        let answer = client.get(gateway.url("/0")).send().await;
        assert_eq!(answer.text(), AFTER);
        assert_eq!(answer.header("content-length"), Some(&*AFTER.len().to_string()));
        assert_eq!((answer.header("etag"), answer.header("content-digest")), (None, None));
        let plain = client.get(gateway.url("/1")).send().await;
        assert_eq!((plain.text().as_str(), plain.header("etag")), (BEFORE, Some("\"1\"")));
        let untouched = client.get(gateway.url("/2")).send().await;
        assert_eq!((untouched.text().as_str(), untouched.header("etag")), ("[]", Some("\"1\"")));
    }
}

#[tokio::test]
async fn what_can_not_be_read_is_refused_or_passes() {
    let origin = Origin::start();
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let deepest = format!("{}{}", "[".repeat(400_000), "]".repeat(400_000));
    let bad: [&[u8]; 7] = [
        b"{",
        b"{\"a\":1,}",
        b"{\"a\":\"\xff\"}",
        deep.as_bytes(),
        deepest.as_bytes(),
        b"{} {}",
        b"\xef\xbb\xbf{}",
    ];
    let files: Vec<_> = bad.iter().map(|body| ("application/json", *body)).collect();
    let both = r#"request = { remove = ["/a"] }, response = { remove = ["/a"] }"#;
    let refusing = answering(&origin, &format!(r#"{{ use = "json", with = {{ {both} }} }}"#), &files).await;
    let passing = format!(r#"{{ use = "json", with = {{ invalid = "pass", {both} }} }}"#);
    let passing = answering(&origin, &passing, &files).await;
    for (n, body) in bad.iter().enumerate() {
        assert_problem(&post(&refusing, "application/json", body.to_vec()).await, 400);
        assert_problem(&Client::http1().get(refusing.url(&format!("/{n}"))).send().await, 502);
        assert_eq!(post(&passing, "application/json", body.to_vec()).await.status, 200);
        let answer = Client::http1().get(passing.url(&format!("/{n}"))).send().await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, *body));
    }
    refusing.wait_for_log_containing("JSON 65 levels deep, more than 64").await;

    let asked = Client::http1().post(refusing.url("/")).header("content-type", "application/json");
    let encoded = asked.header("content-encoding", "gzip").body("{}").send().await;
    assert_problem(&encoded, 415);
    assert_problem(&post(&refusing, "application/json", vec![b' '; (1 << 20) + 1]).await, 413);
}

#[tokio::test]
async fn a_compressed_request_is_read_behind_decompress_and_a_response_compressed_after() {
    let origin = Origin::start();
    let json =
        r#"{ use = "json", with = { request = { remove = ["/a"] }, response = { remove = ["/method"] } } }"#;
    let gateway = gateway(
        &origin,
        &format!(r#"{{ use = "compress", with = {{ minimum = "0B" }} }}, "decompress", {json}"#),
    )
    .await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("body"), r#"{"a":1,"b":2}"#).unwrap();
    let gzip = |arguments: &[&str]| {
        let out = std::process::Command::new("gzip")
            .args(arguments)
            .arg(folder.path().join("body"))
            .output()
            .unwrap();
        out.stdout
    };
    let asked = Client::http1().post(gateway.url("/")).header("content-type", "application/json");
    let asked = asked.header("content-encoding", "gzip").header("accept-encoding", "gzip");
    let answer = asked.body(gzip(&["-c"])).send().await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    std::fs::rename(folder.path().join("body"), folder.path().join("old")).unwrap();
    std::fs::write(folder.path().join("body"), &answer.body).unwrap();
    let seen: serde_json::Value = serde_json::from_slice(&gzip(&["-dcf"])).unwrap();
    assert_eq!(seen["body"], r#"{"b":2}"#, "{seen}");
    assert!(seen.get("method").is_none(), "{seen}");
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(r#"{ use = "json", with = { response = { remove = ["/a", "b"] } } }"#).await;
    assert!(said.contains("not a JSON Pointer") && said.contains("with.response.remove"), "{said}");
}
