use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{SECRET, mistake};
use crate::capabilities::jwt::now;
use crate::common::{assert_problem, config, route};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use limen_tests::oci::{Registry as Web, Reply};
use limen_tests::{Answer, Certs, Client, Gateway, Origin};
use serde_json::{Value, json};

/// An issuer that says this of all tokens.
async fn issuer(says: impl Fn() -> Reply + Send + Sync + 'static) -> Web {
    Web::start(move |_| says()).await
}

fn text(origin: &Origin, issuer: &Web, with: &str) -> String {
    let idp = format!(
        "[secret.own]\nfile = \"own.secret\"\n[upstream.idp]\nendpoints = [\"http://{issuer}\"]\n[log]\naccess = true\n"
    );
    let policy = format!(
        "{{ use = \"introspect\", with = {{ upstream = \"idp\", path = \"/oauth2/introspect\", client = \"limen\", \
         secret = \"own\", {with} }} }}"
    );
    config(origin, &format!("{idp}{}", route("/**", &policy)))
}

async fn gateway(origin: &Origin, issuer: &Web, with: &str) -> Gateway {
    Gateway::with(text(origin, issuer, with)).file("own.secret", SECRET).start().await
}

fn active(more: Value) -> Reply {
    let mut said = json!({ "active": true, "sub": "ada", "exp": now() + 300, "scope": "read write" });
    said.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Reply::Whole(said.to_string().into_bytes())
}

async fn ask(gateway: &Gateway, token: &str) -> Answer {
    let asked = Client::http1().get(gateway.url("/")).header("x-user", "root");
    asked.header("authorization", &format!("Bearer {token}")).send().await
}

#[tokio::test]
async fn an_active_token_lets_pass_and_is_asked_for_once() {
    let origin = Origin::start();
    let issuer = issuer(|| {
        Reply::Late(match active(json!({ "client_id": "shop" })) {
            Reply::Whole(body) => body,
            _ => unreachable!(),
        })
    })
    .await;
    let with =
        r#"scopes = ["read"], claims = { client_id = "shop" }, headers = { x-user = "sub" }, strip = true"#;
    let gateway = gateway(&origin, &issuer, with).await;
    let all = futures_util::future::join_all((0..10).map(|_| Box::pin(ask(&gateway, "opaque")))).await;
    for passed in all {
        let seen = &passed.json()["headers"];
        assert_eq!((passed.status.as_u16(), &seen["x-user"]), (200, &"ada".into()));
        assert_eq!(seen["authorization"], Value::Null);
    }
    gateway.wait_for_log(|line| line.contains("consumer") && line.contains("ada")).await;
    let asked = issuer.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].path, "/oauth2/introspect");
    let secret = SECRET.replace(' ', "+");
    assert_eq!(
        asked[0].authorization.as_deref(),
        Some(&*format!("Basic {}", STANDARD.encode(format!("limen:{secret}"))))
    );
    assert_eq!(ask(&gateway, "another").await.status, 200);
    assert_eq!(issuer.asked().len(), 2);
    let nobody = Client::http1().get(gateway.url("/")).send().await;
    assert_problem(&nobody, 401);
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
}

#[tokio::test]
async fn what_was_said_is_remembered_over_reloads_but_not_under_other_terms() {
    let origin = Origin::start();
    let issuer = issuer(|| active(json!({}))).await;
    let gateway = gateway(&origin, &issuer, "").await;
    assert_eq!(ask(&gateway, "opaque").await.status, 200);
    for (with, asked) in [("realm = \"orders\"", 1), ("ttl = \"1m\"", 2)] {
        gateway.forget_log();
        gateway.write_config(text(&origin, &issuer, with));
        gateway.wait_for_log_containing("the configuration is live").await;
        assert_eq!(ask(&gateway, "opaque").await.status, 200);
        assert_eq!(issuer.asked().len(), asked, "{with}");
    }
}

#[tokio::test]
async fn others_do_not_pass() {
    let origin = Origin::start();
    for (said, status, why) in [
        (Reply::Whole(br#"{"active":false}"#.to_vec()), 401, "it is not active"),
        (active(json!({ "exp": now() - 1 })), 401, "it has expired"),
        (active(json!({ "nbf": now() + 60 })), 401, "not valid yet"),
        (active(json!({ "scope": "write" })), 403, "lacks the scope `read`"),
        (active(json!({ "sub": null })), 401, "no claim `sub`"),
        (Reply::Whole(b"{}".to_vec()), 503, "does not say whether"),
        (Reply::status(401), 503, "it answers 401"),
        (Reply::Nonsense, 503, "can't be judged"),
        (Reply::Endless, 503, "has more than"),
        (Reply::Drip, 503, "in time"),
    ] {
        let issuer = issuer(move || said.clone()).await;
        let gateway = gateway(&origin, &issuer, r#"scopes = ["read"], timeout = "1s""#).await;
        assert_problem(&ask(&gateway, "opaque-mark").await, status);
        let line = gateway.wait_for_log_containing(why).await;
        assert!(!line.contains("opaque-mark"), "{line}");
    }
    assert_eq!(origin.requests(), 0);
}

#[tokio::test]
async fn what_was_said_is_forgotten_in_time_and_survives_if_asked_to() {
    let origin = Origin::start();
    let count = Arc::new(AtomicUsize::new(0));
    let asked = count.clone();
    let issuer = issuer(move || match asked.fetch_add(1, Ordering::Relaxed) {
        0 => active(json!({})),
        1 => Reply::status(500),
        _ => Reply::Whole(br#"{"active":false}"#.to_vec()),
    })
    .await;
    let gateway = gateway(&origin, &issuer, r#"ttl = "0s", max_stale = "1h", negative_ttl = "1h""#).await;
    assert_eq!(ask(&gateway, "opaque").await.status, 200);
    assert_eq!(ask(&gateway, "opaque").await.status, 200, "the issuer is down");
    assert_eq!(ask(&gateway, "opaque").await.status, 401, "it is revoked");
    assert_eq!(ask(&gateway, "opaque").await.status, 401);
    assert_eq!(count.load(Ordering::Relaxed), 3, "the last was remembered");
}

#[tokio::test]
async fn an_address_is_enough_and_its_certificate_has_to_be_right() {
    let (origin, certs) = (Origin::start(), Certs::new());
    let issuer = Web::start_tls(&certs, |_| active(json!({}))).await;
    let gateway = async |more: &str| {
        let url = format!("https://localhost:{}/oauth2/introspect?a=b", issuer.port());
        let policy = format!(
            "{{ use = \"introspect\", with = {{ url = \"{url}\", headers = {{ x-user = \"sub\" }}{more} }} }}"
        );
        let text = config(&origin, &format!("[log]\naccess = true\n{}", route("/**", &policy)));
        Gateway::with(text).start().await
    };
    let trusting = gateway(&format!(", roots = {:?}", certs.ca())).await;
    for _ in 0..2 {
        let passed = ask(&trusting, "opaque").await;
        assert_eq!((passed.status.as_u16(), &passed.json()["headers"]["x-user"]), (200, &"ada".into()));
    }
    let asked = issuer.asked();
    assert_eq!((asked.len(), &*asked[0].path), (1, "/oauth2/introspect?a=b"));
    let strict = gateway("").await;
    assert_problem(&ask(&strict, "opaque").await, 503);
    strict.wait_for_log_containing("no connection could be made").await;
    assert_eq!(issuer.asked().len(), 1, "no token goes to a stranger");
}

#[tokio::test]
async fn mistakes_are_shown() {
    for (with, said) in [
        (r#"upstream = "nobody""#, "there is no [upstream.nobody]"),
        (r#"upstream = "origin", client = "x""#, "`client` and `secret`, or neither"),
        (r#"upstream = "origin", client = "x", secret = "y""#, "there is no [secret.y]"),
        (r#"upstream = "origin", path = "x""#, "not a path"),
        ("", "nobody to ask"),
        (r#"upstream = "origin", url = "https://id.example""#, "either `url` or `upstream`"),
        (r#"upstream = "origin", roots = "ca.pem""#, "it goes with `url`"),
        (r#"url = "http://id.example/x""#, "add `plain_http = true`"),
        (r#"url = "id.example""#, "not an address"),
        (r#"url = "ftp://id.example/x""#, "hint: "),
        (r#"url = "https://user@id.example/""#, "user and password"),
        (r#"url = "https://id.example/", roots = "nowhere.pem""#, "nowhere.pem"),
        (r#"upstream = "origin", ttl = "2h""#, "0s to 1h"),
    ] {
        let told = mistake(&format!("{{ use = \"introspect\", with = {{ {with} }} }}")).await;
        assert!(told.contains(said), "{said}: {told}");
    }
}
