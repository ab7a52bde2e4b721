//! Keys that are fetched from whoever issues tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::capabilities::jwt::{Issuer, now};
use crate::common::{PATIENT, assert_problem, config, guest_plugin_with, route};
use limen_tests::oci::{Registry as Web, Reply};
use limen_tests::{Answer, Certs, Client, Gateway, Origin, eventually};
use serde_json::{Value, json};

const JWT: &str = r#"{ use = "jwt", with = { keys = "idp" } }"#;
const ADMIN: &str = "[log]\naccess = true\n[admin]\naddress = \"127.0.0.1:0\"\n";

fn text(origin: &Origin, keys: &str) -> String {
    config(origin, &format!("{ADMIN}[key_set.idp]\n{keys}\n{}", route("/**", JWT)))
}

fn claims() -> Value {
    json!({ "sub": "ada", "exp": now() + 300 })
}

async fn ask(gateway: &Gateway, token: &str) -> Answer {
    Client::http1().get(gateway.url("/")).header("authorization", &format!("Bearer {token}")).send().await
}

/// A place whose answer can be changed.
async fn web(first: Reply) -> (Web, Arc<std::sync::Mutex<Reply>>) {
    let answer = Arc::new(std::sync::Mutex::new(first));
    let told = answer.clone();
    (Web::start(move |_| told.lock().unwrap().clone()).await, answer)
}

fn keys(idp: &Issuer, kid: &str) -> Reply {
    Reply::Whole(idp.jwks(kid).into_bytes())
}

async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let text = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn an_unknown_kid_has_new_keys_fetched_once() {
    let (origin, old, new) = (Origin::start(), Issuer::new(), Issuer::new());
    let (web, answer) = web(keys(&old, "old")).await;
    let terms =
        format!("jwks_url = \"http://{web}/keys\"\nplain_http = true\ncooldown = \"1s\"\nwait = \"10s\"");
    let gateway = Gateway::start(text(&origin, &terms)).await;
    assert_eq!(ask(&gateway, &old.sign("old", &claims())).await.status, 200);
    assert_eq!(web.asked().len(), 1, "they are there when it is ready");

    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    *answer.lock().unwrap() = keys(&new, "new");
    let token = new.sign("new", &claims());
    let all = futures_util::future::join_all((0..20).map(|_| Box::pin(ask(&gateway, &token)))).await;
    assert!(all.iter().all(|answer| answer.status == 200), "they wait for it");
    assert_eq!(web.asked().len(), 2, "and one fetch serves them all");
    assert_problem(&ask(&gateway, &old.sign("old", &claims())).await, 401);

    // Whoever invents names of keys has no keys fetched for each.
    let before = web.asked().len();
    let begun = std::time::Instant::now();
    for number in 0..200 {
        assert_problem(&ask(&gateway, &new.sign(&format!("invented-{number}"), &claims())).await, 401);
    }
    let most = 1 + begun.elapsed().as_secs() as usize;
    assert!(web.asked().len() - before <= most, "{} fetches", web.asked().len() - before);
    assert_eq!(ask(&gateway, &token).await.status, 200);
    assert_eq!(metric(&gateway, "limen_key_set_keys").await, 1.0);
    assert!(
        metric(&gateway, "limen_key_set_fetches_total{limen_key_set=\"idp\",outcome=\"fetched\"}").await
            >= 2.0
    );
}

#[tokio::test]
async fn plugins_wait_for_new_keys_too() {
    let (origin, old, new) = (Origin::start(), Issuer::new(), Issuer::new());
    let (web, answer) = web(keys(&old, "old")).await;
    let set =
        format!("[key_set.idp]\njwks_url = \"http://{web}/keys\"\nplain_http = true\ncooldown = \"1s\"\n");
    let plugin =
        guest_plugin_with("verifies-tokens", &format!("grants = {{ key_sets = [\"idp\"] }}\n{PATIENT}"));
    let gateway =
        Gateway::start(config(&origin, &[&*set, &plugin, &route("/**", r#""verifies-tokens""#)].concat()))
            .await;
    *answer.lock().unwrap() = keys(&new, "new");
    let token = new.sign("new", &claims());
    eventually("the new keys", async || {
        let asked = Client::http1().get(gateway.url("/")).header("authorization", &format!("Bearer {token}"));
        (asked.header("x-key-set", "idp").send().await.status == 200).then_some(())
    })
    .await;
    assert_eq!(web.asked().len(), 2);
}

#[tokio::test]
async fn an_issuer_that_is_gone_is_survived() {
    let (origin, idp) = (Origin::start(), Issuer::new());
    let (web, answer) = web(Reply::status(500)).await;
    let terms =
        format!("jwks_url = \"http://{web}/keys\"\nplain_http = true\nrefresh = \"1s\"\nwait = \"0s\"");
    let gateway = Gateway::start(text(&origin, &terms)).await;
    let token = idp.sign("one", &claims());
    let early = ask(&gateway, &token).await;
    assert_problem(&early, 503);
    assert_eq!(early.header("retry-after"), Some("5"));
    gateway.wait_for_log_containing("there are none").await;
    gateway.wait_for_log_containing("its keys could not be fetched").await;

    *answer.lock().unwrap() = keys(&idp, "one");
    eventually("keys", async || (ask(&gateway, &token).await.status == 200).then_some(())).await;
    gateway.wait_for_log_containing("keys can be fetched again").await;

    *answer.lock().unwrap() = Reply::Nonsense;
    gateway.wait_for_log_containing("those that are there serve on").await;
    let failures = "limen_key_set_fetches_total{limen_key_set=\"idp\",outcome=\"failed\"}";
    assert!(metric(&gateway, failures).await >= 2.0);
    assert_eq!(ask(&gateway, &token).await.status, 200);
    assert_problem(&ask(&gateway, &idp.sign("two", &claims())).await, 401);

    // What is learned outlives a reload, and what is asked of tokens may change.
    let narrower = format!("{terms}\naudience = \"api\"");
    gateway.write_config(text(&origin, &narrower));
    gateway.wait_for_log_containing("the configuration is live").await;
    assert_problem(&ask(&gateway, &token).await, 401);
    let meant = idp.sign("one", &json!({ "sub": "ada", "aud": "api", "exp": now() + 300 }));
    assert_eq!(ask(&gateway, &meant).await.status, 200);
}

#[tokio::test]
async fn keys_are_used_no_longer_than_they_may() {
    let (origin, idp) = (Origin::start(), Issuer::new());
    let (web, answer) = web(keys(&idp, "one")).await;
    let terms = format!(
        "jwks_url = \"http://{web}/keys\"\nplain_http = true\nrefresh = \"1s\"\nmax_stale = \"1s\"\nwait = \"0s\""
    );
    let gateway = Gateway::start(text(&origin, &terms)).await;
    let token = idp.sign("one", &claims());
    assert_eq!(ask(&gateway, &token).await.status, 200);
    *answer.lock().unwrap() = Reply::Whole(b"{\"keys\":[]}".to_vec());
    eventually("the end of the keys", async || (ask(&gateway, &token).await.status == 503).then_some(()))
        .await;
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are() {
    let (origin, idp, certs) = (Origin::start(), Arc::new(Issuer::new()), Certs::new());
    let (port, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicUsize::new(0)));
    let (known, signer, count) = (port.clone(), idp.clone(), asked.clone());
    let web = Web::start_tls(&certs, move |ask| {
        let base = format!("https://localhost:{}", known.load(Ordering::Relaxed));
        match &*ask.path {
            "/realm/.well-known/openid-configuration" => Reply::Whole(
                json!({ "issuer": format!("{base}/realm"), "jwks_uri": format!("{base}/moved") })
                    .to_string()
                    .into(),
            ),
            "/liar/.well-known/openid-configuration" => Reply::Whole(
                json!({ "issuer": format!("{base}/realm"), "jwks_uri": format!("{base}/keys") })
                    .to_string()
                    .into(),
            ),
            "/moved" => Reply::redirect("/keys".into()),
            "/keys" => {
                count.fetch_add(1, Ordering::Relaxed);
                // One key that nobody here can use is no reason to do without the others.
                let mut set: Value = serde_json::from_str(&signer.jwks("one")).unwrap();
                set["keys"].as_array_mut().unwrap().push(json!({ "kty": "new", "kid": "x" }));
                Reply::Whole(set.to_string().into())
            }
            _ => Reply::status(404),
        }
    })
    .await;
    port.store(web.port().into(), Ordering::Relaxed);
    let base = format!("https://localhost:{}", web.port());
    let roots = format!("roots = {:?}", certs.ca());
    let gateway = Gateway::start(text(&origin, &format!("discovery = \"{base}/realm\"\n{roots}"))).await;
    let issued = |by: &str| json!({ "sub": "ada", "iss": by, "exp": now() + 300 });
    assert_eq!(ask(&gateway, &idp.sign("one", &issued(&format!("{base}/realm")))).await.status, 200);
    assert_problem(&ask(&gateway, &idp.sign("one", &issued(&base))).await, 401);
    assert_eq!(asked.load(Ordering::Relaxed), 1);

    for (terms, why) in [
        (format!("discovery = \"{base}/liar\"\n{roots}"), "another `issuer`"),
        (format!("jwks_url = \"{base}/keys\""), "UnknownIssuer"),
        (format!("jwks_url = \"{base}/nothing\"\n{roots}"), "404"),
    ] {
        let gateway = Gateway::start(text(&origin, &terms)).await;
        let line = gateway.wait_for_log_containing("can't be fetched").await;
        assert!(line.contains(why), "{why} is not in {line}");
    }
}

#[tokio::test]
async fn mistakes_are_shown() {
    let origin = Origin::start();
    for (terms, said) in [
        ("jwks_url = \"http://id.example.com/keys\"", "keys over plain HTTP"),
        ("jwks_url = \"https://ada:secret@id.example.com/keys\"", "not an address"),
        ("discovery = \"id.example.com\"", "not an address"),
        ("jwks_url = \"https://a.example.com\"\ndiscovery = \"https://a.example.com\"", "several places"),
        ("jwks = \"idp.json\"\nrefresh = \"1m\"", "`refresh` for keys that are not fetched"),
        ("jwks_url = \"https://a.example.com\"\nrefresh = \"1ms\"", "out of range"),
    ] {
        let checked =
            Gateway::with(text(&origin, terms)).file("idp.json", Issuer::new().jwks("x")).check().await;
        assert_eq!(checked.status.code(), Some(1), "{terms}");
        assert!(checked.stderr.contains(said), "{said}: {}", checked.stderr);
    }
    // To check is not to ask.
    let checked = Gateway::with(text(&origin, "jwks_url = \"https://nowhere.invalid/keys\"")).check().await;
    assert!(checked.status.success(), "{}", checked.stderr);
}
