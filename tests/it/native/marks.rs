//! Whatever is shown to a policy to say who asks is told nobody: a mark in each of them is in no output.

use super::SECRET;
use crate::capabilities::jwt::{Issuer, now};
use crate::common::{config, route};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use limen_tests::oci::{Registry as Web, Reply};
use limen_tests::{Client, Gateway, Origin, eventually};
use serde_json::json;

/// Planted in each of them.
const MARK: &str = "s3cr3tM4rks3cr3tM4rks3cr";

#[tokio::test]
async fn what_is_shown_is_told_nobody() {
    let (origin, idp) = (Origin::start(), Issuer::new());
    let web = Web::start(|_| Reply::Whole(json!({ "active": false, "why": MARK }).to_string().into())).await;
    let secret = format!("{SECRET} {MARK}");
    let hash = "$2y$04$fsx/21FF.K2QIbRfQqOsceBd00w9aRBNXwebMr7OjEfOJh5iA/Suq";
    let sections = format!(
        r#"
        [log]
        level = "trace"
        access = {{ fields = ["path", "query", "status", "reason", "why", "consumer", "request.authorization", "request.cookie", "request.x-ticket"] }}
        [admin]
        address = "127.0.0.1:0"
        [secret.own]
        file = "own.secret"
        [key_set.idp]
        jwks = "idp.json"
        [key_set.shared]
        secret = "own"
        [key_set.gone]
        jwks_url = "http://127.0.0.1:1/keys?key={MARK}"
        plain_http = true
        wait = "0s"
        [upstream.idp]
        endpoints = ["http://{web}"]
        "#
    );
    let from = r#"from = [{ header = "authorization" }, { cookie = "session" }, { query = "ticket" }, { header = "x-ticket" }]"#;
    let routes = [
        route("/jwt", &format!(r#"{{ use = "jwt", with = {{ keys = "idp", {from}, strip = true }} }}"#)),
        route("/shared", r#"{ use = "jwt", with = { keys = "shared" } }"#),
        route("/gone", r#"{ use = "jwt", with = { keys = "gone" } }"#),
        route(
            "/basic",
            &format!(r#"{{ use = "basic", with = {{ users = {{ ada = "{hash}" }}, strip = true }} }}"#),
        ),
        route("/hmac", r#"{ use = "hmac", with = { keys = { one = { secret = "own" } } } }"#),
        route(
            "/introspect",
            r#"{ use = "introspect", with = { upstream = "idp", client = "me", secret = "own" } }"#,
        ),
        route("/mtls", r#""mtls""#),
    ];
    let gateway = Gateway::with(config(&origin, &format!("{sections}{}", routes.concat())));
    let gateway = gateway.file("idp.json", idp.jwks("one")).file("own.secret", &secret).start().await;

    let good = idp.sign("one", &json!({ "sub": "ada", "exp": now() + 300, "mark": MARK }));
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256", "kid": MARK }).to_string());
    let forged = format!("{header}.{}.{MARK}", URL_SAFE_NO_PAD.encode(json!({ "sub": MARK }).to_string()));
    let basic = |pair: String| format!("Basic {}", STANDARD.encode(pair));
    let bearers = [good.clone(), forged, MARK.to_owned()].map(|token| format!("Bearer {token}"));
    let basics = [basic(format!("ada:{MARK}")), basic(format!("{MARK}:{MARK}")), basic(MARK.to_owned())];
    let mut asked = 0;
    for path in ["/jwt", "/shared", "/gone", "/basic", "/hmac", "/introspect", "/mtls"] {
        for shown in bearers.iter().chain(&basics).map(String::as_str).chain([MARK]) {
            Client::http1().get(gateway.url(path)).header("authorization", shown).send().await;
            let elsewhere = Client::http1().get(gateway.url(&format!("{path}?ticket={MARK}")));
            elsewhere.header("cookie", &format!("session={MARK}")).header("x-ticket", MARK).send().await;
            asked += 2;
        }
        let input = format!(
            "sig=(\"@method\" \"@authority\" \"@path\" \"@query\");created={};keyid=\"one\";nonce=\"{MARK}\"",
            now()
        );
        let signed = Client::http1().get(gateway.url(path)).header("signature-input", &input);
        signed.header("signature", &format!("sig=:{MARK}:")).send().await;
        asked += 1;
    }
    let passed = Client::http1().get(gateway.url("/jwt")).header("authorization", &format!("Bearer {good}"));
    assert_eq!(passed.send().await.status, 200);
    asked += 1;

    for page in ["/", "/status", "/metrics", "/config", "/routes", "/upstreams", "/plugins", "/reload"] {
        let text = Client::http1().get(gateway.admin_url(page)).send().await.text();
        // That the address of keys is a secret is nobody's guess: it is written in the configuration.
        let text = text.replace(&format!("keys?key={MARK}"), "");
        assert!(!text.contains(MARK) && !text.contains(hash), "{page}: {text}");
    }
    let (_, claims) = good.split_once('.').unwrap();
    let marks = [MARK, &claims[..40], &bearers[1][20..60], &basics[0][6..], &basics[2][6..], SECRET];
    // Each worker carries its lines out for itself: the last request's may come before those of others.
    let log = eventually("a line of each request", async || {
        let log = gateway.log();
        (log.iter().filter(|line| line.contains(" status=")).count() >= asked).then_some(log)
    })
    .await;
    assert!(log.iter().any(|line| line.contains("consumer=\"ada\"")), "{log:#?}");
    let told: Vec<_> = log.iter().filter(|line| marks.iter().any(|mark| line.contains(mark))).collect();
    assert!(told.is_empty(), "{told:#?}");
}
