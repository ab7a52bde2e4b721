//! Components that were built for a released version of the contract do for ever what they did then.

use crate::common::{config, plugin, route};
use jsonwebtoken::{EncodingKey, Header, encode};
use limen_tests::raw::{RawOrigin, Reply};
use limen_tests::{Answer, Client, Gateway, Origin, eventually, guest, wire};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const KEYS: &str = r#"
limits = { cpu = "2s", wall = "10s" }
grants = { request_body = true, response_body = true, consumer = "set", counters = true, cache = true, kv = ["things"], fetch = ["origin"], secrets = { signing = "sign", shown = "reveal" }, key_sets = ["idp"], metrics = true }
"#;
const REST: &str = r#"
[admin]
address = "127.0.0.1:0"
[store.things]
[secret.signing]
file = "signing"
[secret.shown]
file = "shown"
[key_set.idp]
secret     = "signing"
algorithms = ["HS256"]
"#;
const SIGNING: &str = "a shared secret of thirty-two bytes and more";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("released/0.1")
}

/// A component as it was built for 0.1.0.
fn released(name: &str) -> PathBuf {
    folder().join(format!("{name}.wasm"))
}

struct Everything {
    origin: Origin,
    gateway: Gateway,
}

impl Everything {
    async fn start(component: PathBuf) -> Everything {
        let origin = Origin::start();
        let raw = RawOrigin::start(|_| {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-seen\r\n\r\n";
            Reply::Keep(format!("{head}5\r\nhello\r\n0\r\nx-seen: 0\r\n\r\n").into())
        })
        .await;
        let policy = r#"{ use = "everything", with = { mark = "m" } }"#;
        let rest = [
            REST,
            &plugin("everything", component, KEYS),
            &route("/**", policy),
            &route("/pass/raw", policy).replace("\"origin\"", "\"raw\""),
            &format!("[upstream.raw]\nendpoints = [\"{}\"]", raw.url()),
        ];
        let text = config(&origin, &rest.join("\n"));
        let gateway = Gateway::with(text).file("signing", SIGNING).file("shown", "a value").start().await;
        Everything { origin, gateway }
    }

    async fn get(&self, path: &str) -> Answer {
        let token = encode(
            &Header::default(),
            &json!({ "sub": "ada", "exp": 4_000_000_000_u64 }),
            &EncodingKey::from_secret(SIGNING.as_bytes()),
        );
        let request = Client::http1().get(self.gateway.url(path)).header("x-a", "1").header("cookie", "c=x");
        request.header("x-token", &token.unwrap()).send().await
    }

    /// All of its capabilities, by what it says.
    async fn assert_capabilities(&self) {
        let hmac = {
            use aws_lc_rs::hmac;
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SIGNING.as_bytes()), b"hello");
            tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        for (path, told) in [
            ("/head?q=1+2", r#"GET Http11 Some("1 2") Some("x") true true"#.to_owned()),
            ("/place", r#"/** Some("origin") 32 Some("m") 127.0.0.1 None 0"#.to_owned()),
            ("/shared", "42 None cached None true".to_owned()),
            ("/denied", "Err(NoSuchStore) Some(Denied)".to_owned()),
            ("/call", "[Ok(200), Ok(200)]".to_owned()),
            ("/secrets", format!(r#"{hmac} Ok(false) Ok("a value")"#)),
            ("/crypto", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 false".to_owned()),
            ("/chance", "true 32".to_owned()),
        ] {
            let answer = self.get(path).await;
            assert_eq!((answer.status.as_u16(), answer.text()), (200, told), "{path}");
            assert_eq!(answer.header("x-mark"), Some("m"));
        }
        let claims: Value = serde_json::from_str(&self.get("/token").await.text()).unwrap();
        assert_eq!(claims["sub"], "ada");
        eventually("a tick", async || (self.get("/ticked").await.text() == "m").then_some(())).await;
        let metrics = Client::http1().get(self.gateway.admin_url("/metrics")).send().await.text();
        assert!(
            metrics.contains(r#"plugin_asked_total{limen_plugin="everything",path="/head"} 1"#),
            "{metrics}"
        );
        let before = self.origin.requests();
        assert_eq!(self.get("/fail").await.status, 500);
        self.gateway.wait_for_log_containing("told to fail").await;
        assert_eq!(self.origin.requests(), before);
    }

    /// All of its hooks, by what becomes of an exchange.
    async fn assert_hooks(&self) {
        let passed = self.get("/pass").await;
        assert_eq!(passed.status, 203);
        assert_eq!(passed.header("x-way"), Some("1 1 true true"));
        assert_eq!(passed.header("x-who"), Some(r#"Some("m") Some("ada") Some("gold")"#));
        let seen = passed.json();
        assert_eq!((&seen["headers"]["x-mark"], &seen["headers"]["x-attempt"]), (&json!("m"), &json!("1")));
        assert!(seen.to_string().contains("changed=1"), "{seen}");
        for (path, end) in [("/pass/body", "end of body\n"), ("/pass/chunks", "end of chunks\n")] {
            let answer = Client::http1().post(self.gateway.url(path)).body("hello").send().await;
            let text = answer.text();
            assert!(text.contains("\"body\": \"HELLO\"") && text.ends_with(end), "{path}: {text}");
        }
        let request = "POST /pass/raw HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: close\r\ntrailer: x-sum\r\n\
                       transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n";
        let answer = wire::exchange(self.gateway.addr("plain"), request).await;
        assert!(answer.contains("hello") && answer.contains("x-seen: 1\r\n"), "{answer}");
        self.gateway.wait_for_log_containing("request trailer: 7").await;
        self.gateway.wait_for_log_containing("ended /pass/raw with 203").await;
    }
}

#[tokio::test]
async fn a_component_of_0_1_does_what_it_did() {
    let everything = Everything::start(released("everything")).await;
    everything.assert_capabilities().await;
    everything.assert_hooks().await;
}

#[tokio::test]
async fn one_that_is_built_today_does_the_same() {
    let everything = Everything::start(guest("everything")).await;
    everything.assert_capabilities().await;
    everything.assert_hooks().await;
}

#[tokio::test]
async fn one_of_0_1_without_the_sdk_does_what_it_did() {
    let origin = Origin::start();
    let rest = [plugin("raw", released("raw"), ""), route("/**", "\"raw\"")].join("\n");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let passed = Client::http1().get(gateway.url("/")).send().await;
    assert_eq!(passed.json()["headers"]["x-policy"], "raw");
    let denied = Client::http1().get(gateway.url("/")).header("x-deny", "1").send().await;
    assert_eq!((denied.status.as_u16(), denied.text().as_str()), (403, "denied by the raw policy\n"));
}

/// What was released without being kept here could be broken unseen.
#[tokio::test]
async fn together_they_use_all_that_was_released() {
    let mut used = BTreeSet::from(["types", "plugin"].map(str::to_owned));
    for name in ["everything", "raw"] {
        let file = released(name);
        let told = Gateway::with("").finish(&["policy", "inspect", "--json", file.to_str().unwrap()]).await;
        assert!(told.status.success(), "{}", told.stderr);
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        assert_eq!(told["contract"], "0.1.0");
        let names =
            |key: &str| told[key].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned());
        used.extend(names("imports"));
        used.extend(names("phases").map(|phase| format!("hook-{phase}")));
    }
    let wit = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit/released/0.1.0.wit");
    let wit = std::fs::read_to_string(wit).unwrap();
    let released: BTreeSet<String> = wit
        .lines()
        .filter_map(|line| Some(line.strip_prefix("interface ")?.strip_suffix(" {")?.to_owned()))
        .collect();
    assert!(released.len() > 40, "{released:?}");
    assert_eq!(released.difference(&used).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// They are never built again: then they would be others.
#[test]
fn they_are_the_files_that_were_kept() {
    let told = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for name in ["everything", "raw"] {
        let bytes = std::fs::read(released(name)).unwrap();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(told.contains(&digest), "{name}.wasm is {digest}, which its README does not say");
    }
}
