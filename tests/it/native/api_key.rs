//! Keys and their whole life, as operators and clients meet it.

use std::path::Path;

use crate::common::{assert_problem, config, route};
use limen_tests::{Answer, Client, Finished, Gateway, Origin, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

pub(super) const ADMIN: &str =
    "[admin]\naddress = \"127.0.0.1:0\"\n[log]\naccess = true\naudit = \"audit.log\"\n";
const STORE: &str = "state-home/limen/state.db";

fn text_of(origin: &Origin, with: &str) -> String {
    let policy = format!("{{ use = \"api-key\", with = {{ {with} }} }}");
    format!("{ADMIN}{}", config(origin, &route("/**", &policy)))
}

async fn start(origin: &Origin, with: &str) -> Gateway {
    Gateway::start(text_of(origin, with)).await
}

/// `limen key COMMAND` beside this gateway.
pub(super) async fn run(gateway: &Gateway, command: &[&str]) -> Finished {
    let url = gateway.admin_url("");
    let address = url.split_once("://").unwrap().1;
    Box::pin(gateway.successor().finish(&[&["key"], command, &["--admin", address]].concat())).await
}

/// The same; what it answers as JSON.
pub(super) async fn key(gateway: &Gateway, command: &[&str]) -> Value {
    let finished = run(gateway, &[command, &["--json"]].concat()).await;
    assert!(finished.status.success(), "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

pub(super) fn text<'a>(key: &'a Value, name: &str) -> &'a str {
    key[name].as_str().unwrap_or_else(|| panic!("no {name}: {key}"))
}

pub(super) async fn ask(gateway: &Gateway, key: &str) -> Answer {
    Client::http1().get(gateway.url("/")).header("x-api-key", key).send().await
}

async fn call(gateway: &Gateway, method: &str, path: &str, body: Value) -> Answer {
    let asked = Client::http1().request(method.parse().unwrap(), gateway.admin_url(path));
    asked.body(body.to_string()).send().await
}

#[tokio::test]
async fn the_life_of_a_key() {
    let origin = Origin::start();
    let gateway = start(&origin, "scopes = [\"read\"], strip = true").await;
    let shown = run(&gateway, &["create", "--consumer", "ada", "--scope", "read", "--plan", "gold"]).await;
    let first = shown.stdout.trim().to_owned();
    assert!(first.starts_with("lk_") && first.len() == 54, "{shown:?}");
    assert!(shown.stderr.contains("for ada, plan gold, expires never"), "{shown:?}");
    let id = first.split('_').nth(1).unwrap().to_owned();

    let passed = ask(&gateway, &first).await;
    assert_eq!(passed.status, 200, "{}", passed.text());
    assert!(!passed.text().contains(&first), "it is stripped");
    gateway.wait_for_log(|line| line.contains("consumer") && line.contains("ada")).await;
    for scheme in ["Bearer", "ApiKey", "apikey"] {
        let asked =
            Client::http1().get(gateway.url("/")).header("authorization", &format!("{scheme} {first}"));
        assert_eq!(asked.send().await.status, 200, "{scheme}");
    }
    assert!(!text(&key(&gateway, &["show", &id]).await, "last_used").is_empty());

    let second = key(&gateway, &["rotate", &id, "--overlap", "1h"]).await;
    assert_eq!((text(&second, "replaces"), text(&second["old"], "replaced_by")), (&*id, text(&second, "id")));
    for both in [&first, text(&second, "key")] {
        assert_eq!(ask(&gateway, both).await.status, 200);
    }
    let lesser = key(&gateway, &["create", "--consumer", "eve"]).await;
    let refused = ask(&gateway, text(&lesser, "key")).await;
    assert_problem(&refused, 403);
    let challenge = refused.header("www-authenticate");
    assert_eq!(challenge, Some("ApiKey error=\"insufficient_scope\", scope=\"read\""));
    let listed = run(&gateway, &["list"]).await.stdout;
    assert!(listed.contains(&id) && listed.contains("gold") && !listed.contains(&first), "{listed}");

    // Each of these is refused, to its client all alike.
    assert_eq!(text(&key(&gateway, &["revoke", &id]).await, "state"), "revoked");
    let third = key(&gateway, &["rotate", text(&second, "id"), "--overlap", "0s"]).await;
    let mut mistyped = first.clone();
    mistyped.replace_range(20..21, if &mistyped[20..21] == "x" { "y" } else { "x" });
    let other = key(&gateway, &["create", "--consumer", "ada", "--scope", "read", "--prefix", "other"]).await;
    let before = origin.requests();
    let mut bodies = vec![];
    for (key, why) in [
        (first.as_str(), format!("{id} is revoked")),
        (text(&second, "key"), format!("{} has expired", text(&second, "id"))),
        (&mistyped, "checksum is wrong".to_owned()),
        ("nonsense", "malformed".to_owned()),
        (text(&other, "key"), "another prefix".to_owned()),
    ] {
        gateway.forget_log();
        let refused = ask(&gateway, key).await;
        assert_problem(&refused, 401);
        assert_eq!(refused.header("www-authenticate"), Some("ApiKey"));
        bodies.push(refused.json()["detail"].clone());
        let line = gateway.wait_for_log_containing(&why).await;
        assert!(!line.contains(key), "{line}");
    }
    assert_eq!(origin.requests(), before, "the upstream saw none of them");
    assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
    assert_problem(&Client::http1().get(gateway.url("/")).send().await, 401);

    // Nothing keeps a key, but whoever it was shown to.
    let keys = [&first, text(&second, "key"), text(&third, "key"), text(&lesser, "key")];
    let kept =
        [std::fs::read(gateway.path(STORE)).unwrap(), std::fs::read(gateway.path("audit.log")).unwrap()];
    let kept = kept.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let log = gateway.log().join("\n");
    for key in keys {
        let secret = key.rsplit_once('_').unwrap().1;
        assert!(kept.iter().chain([&log]).all(|text| !text.contains(secret)), "{key}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_being_killed() {
    let origin = Origin::start();
    let mut gateway = start(&origin, "").await;
    let mut acknowledged: Vec<(String, bool)> = vec![];
    for round in 0..6 {
        let url = gateway.admin_url("/keys");
        let writing = tokio::spawn(async move {
            let mut done: Vec<(String, bool)> = vec![];
            loop {
                let asked = Client::http1().post(&url).body(r#"{"consumer":"ada"}"#);
                let Ok(made) = asked.try_send().await else { return done };
                let made = made.json();
                let is_revoked = done.len() % 3 == 2;
                done.push((text(&made, "key").to_owned(), false));
                if is_revoked {
                    let asked = Client::http1()
                        .request("DELETE".parse().unwrap(), format!("{url}/{}", text(&made, "id")));
                    // Without an answer it may be revoked or not.
                    match asked.try_send().await {
                        Ok(_) => done.last_mut().unwrap().1 = true,
                        Err(_) => drop(done.pop()),
                    }
                }
            }
        });
        let before = acknowledged.len() as u64;
        eventually("some keys", async || {
            let length = std::fs::metadata(gateway.path(STORE)).ok()?.len();
            (length > 2000 * (round + 1)).then_some(())
        })
        .await;
        gateway.signal(Signal::KILL);
        gateway.wait_exit().await;
        acknowledged.extend(writing.await.unwrap());
        assert!(acknowledged.len() as u64 > before);
        gateway = gateway.successor().start().await;
        let listed = key(&gateway, &["list"]).await;
        let there = listed["keys"].as_array().unwrap().len();
        assert!(
            there >= acknowledged.len() && there <= acknowledged.len() + 2 * (round as usize + 1),
            "{there}"
        );
    }
    for (key, is_revoked) in &acknowledged {
        assert_eq!(ask(&gateway, key).await.status, if *is_revoked { 401 } else { 200 });
    }
    assert!(acknowledged.iter().any(|(_, is_revoked)| *is_revoked));
}

#[tokio::test]
async fn a_store_that_was_cut_off_or_damaged() {
    let origin = Origin::start();
    let mut gateway = start(&origin, "").await;
    let mut keys = vec![];
    for name in ["ada", "bob", "eve"] {
        let made = key(&gateway, &["create", "--consumer", name]).await;
        let length = std::fs::metadata(gateway.path(STORE)).unwrap().len();
        keys.push((text(&made, "key").to_owned(), length as usize));
    }
    let second = gateway.successor().run().await;
    assert_eq!(second.status.code(), Some(1));
    assert!(second.stderr.contains("another process has the store open"), "{}", second.stderr);
    assert!(gateway.successor().check().await.status.success(), "who only checks needs it not");
    gateway.sigterm();
    gateway.wait_exit().await;
    let store = gateway.path(STORE);
    let whole = std::fs::read(&store).unwrap();
    for cut in [keys[1].1 + 1, keys[1].1] {
        std::fs::write(&store, &whole[..cut]).unwrap();
        let mut cut_off = gateway.successor().start().await;
        for (number, (key, _)) in keys.iter().enumerate() {
            assert_eq!(ask(&cut_off, key).await.status, if number < 2 { 200 } else { 401 });
        }
        cut_off.sigterm();
        cut_off.wait_exit().await;
    }
    let mut damaged = whole.clone();
    damaged[keys[0].1 + 30] ^= 1;
    std::fs::write(&store, &damaged).unwrap();
    let refused = gateway.successor().run().await;
    assert_eq!(refused.status.code(), Some(1));
    let told = refused.stderr.contains("the store is damaged at byte")
        && refused.stderr.contains("truncate --size=");
    assert!(told, "{}", refused.stderr);
    assert_eq!(std::fs::read(&store).unwrap(), damaged, "it is left as it is");
}

#[tokio::test]
async fn keys_go_on_with_the_process_that_takes_over() {
    let origin = Origin::start();
    let text_of = format!("[gateway]\ntakeover = \"run/socket\"\n{}", text_of(&origin, ""));
    let mut gateway = Gateway::start(&text_of).await;
    let first = key(&gateway, &["create", "--consumer", "ada"]).await;
    gateway.write_config(format!(
        "{text_of}\n[plugin.broken]\ncomponent = \"broken.wasm\"\n{}",
        route("/b", "\"broken\"")
    ));
    assert_eq!(gateway.successor().run().await.status.code(), Some(1));
    gateway.wait_for_log_containing("a takeover failed").await;
    let second = key(&gateway, &["create", "--consumer", "eve"]).await;
    gateway.write_config(&text_of);
    let next = gateway.successor().start().await;
    assert!(gateway.wait_exit().await.success());
    let url = next.url("/");
    for made in [&first, &second] {
        assert_eq!(Client::http1().get(&url).header("x-api-key", text(made, "key")).send().await.status, 200);
    }
}

#[tokio::test]
async fn the_admin_api_says_what_is_wrong() {
    let origin = Origin::start();
    let gateway = start(&origin, "").await;
    for (method, path, body, status, detail) in [
        ("POST", "/keys", json!({}), 422, "missing field `consumer`"),
        ("POST", "/keys", json!({ "consumer": "a", "scope": "x" }), 422, "unknown field `scope`"),
        ("POST", "/keys", json!({ "consumer": "a", "expires": "soon" }), 422, "neither a moment"),
        (
            "POST",
            "/keys",
            json!({ "consumer": "a", "expires": "2001-01-01T00:00:00Z" }),
            422,
            "expired already",
        ),
        ("GET", "/keys/nobody", Value::Null, 404, "no such key"),
        ("DELETE", "/keys/nobody", Value::Null, 404, "no such key"),
        ("POST", "/keys/nobody/rotate", json!({}), 404, "no such key"),
        ("POST", "/keys/nobody/rotate", json!({ "overlap": "long" }), 422, "not a time"),
        (
            "POST",
            "/keys/import",
            json!({ "keys": [{ "key": "short", "consumer": "a" }] }),
            422,
            "key number 1",
        ),
    ] {
        let refused = call(&gateway, method, path, body).await;
        assert_eq!(refused.status, status, "{method} {path}: {}", refused.text());
        assert!(refused.text().contains(detail), "{}", refused.text());
    }
    let page = Client::http1().post(gateway.admin_url("/keys")).header("sec-fetch-site", "cross-site");
    assert_eq!(page.body(r#"{"consumer":"a"}"#).send().await.status, 403, "a web page makes no keys");
    assert!(key(&gateway, &["list"]).await["keys"].as_array().unwrap().is_empty());

    let without = Gateway::start(format!("{ADMIN}{}", config(&origin, &route("/**", "")))).await;
    let refused = run(&without, &["create", "--consumer", "ada"]).await;
    assert!(refused.stderr.contains("put the policy `api-key` on one first"), "{refused:?}");
    assert!(!without.path(STORE).exists(), "what is not used is not made");
}

#[tokio::test]
async fn keys_come_from_kong_and_from_csv() {
    let origin = Origin::start();
    let gateway = start(&origin, "").await;
    let kong = json!({ "consumers": [
        { "username": "ada", "keyauth_credentials": [
            { "key": "5SRmk6gLnTy1SyQ1Cl9GzoRXJbjYGZbZ", "ttl": 3600 },
            { "key": "AbRmk6gLnTy1SyQ1Cl9GzoRXJbjYGZbZ", "ttl": 3600, "created_at": 1_600_000_000 },
        ] },
    ] });
    std::fs::write(gateway.path("kong.json"), kong.to_string()).unwrap();
    let sha256 = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"; // of "key"
    std::fs::write(gateway.path("keys.csv"), format!("sha256,consumer,plan,team\n{sha256},eve,gold,a\n"))
        .unwrap();
    for (file, expired) in [("kong.json", 1), ("keys.csv", 0)] {
        let imported = key(&gateway, &["import", file]).await;
        assert_eq!(imported, json!({ "imported": 1, "known": 0, "expired": expired }));
    }
    let again = key(&gateway, &["import", "kong.json"]).await;
    assert_eq!(again, json!({ "imported": 0, "known": 1, "expired": 1 }));
    let ada = &key(&gateway, &["list", "--consumer", "ada"]).await["keys"][0];
    assert!(ada["expires"].is_string(), "as Kong had it: {ada}");
    for theirs in ["5SRmk6gLnTy1SyQ1Cl9GzoRXJbjYGZbZ", "key"] {
        assert_eq!(ask(&gateway, theirs).await.status, 200);
    }
    let eve = &key(&gateway, &["list", "--consumer", "eve"]).await["keys"][0];
    assert_eq!(
        (&eve["plan"], &eve["metadata"]["team"], &eve["imported"]),
        (&"gold".into(), &"a".into(), &true.into())
    );
    let next = key(&gateway, &["rotate", text(eve, "id"), "--overlap", "0s"]).await;
    assert_eq!(ask(&gateway, "key").await.status, 401);
    assert_eq!(ask(&gateway, text(&next, "key")).await.status, 200);
}

#[tokio::test]
async fn the_pepper_is_a_secret_that_can_be_replaced() {
    let origin = Origin::start();
    let with = |pepper: &str| {
        format!("[store]\npepper = \"pepper\"\n[secret.pepper]\n{pepper}\n{}", text_of(&origin, ""))
    };
    let setup = Gateway::with(with("file = \"one\"")).file("one", "pepper one").file("two", "pepper two");
    let gateway = setup.start().await;
    let made = key(&gateway, &["create", "--consumer", "ada"]).await;
    gateway.write_config(with("file = \"two\""));
    gateway.wait_for_log_containing("1 keys in the store were hashed with another pepper").await;
    assert_eq!(ask(&gateway, text(&made, "key")).await.status, 200, "the running configuration serves on");
    gateway.forget_log();
    gateway.write_config(with("file = \"two\"\nprevious = { file = \"one\" }"));
    gateway.wait_for_log_containing("the configuration is live").await;
    let next = key(&gateway, &["create", "--consumer", "eve"]).await;
    for made in [&made, &next] {
        assert_eq!(ask(&gateway, text(made, "key")).await.status, 200);
    }
}

#[tokio::test]
async fn who_changed_what_is_in_the_audit_log() {
    let origin = Origin::start();
    let gateway = start(&origin, "").await;
    let made = key(&gateway, &["create", "--consumer", "ada", "--plan", "gold"]).await;
    key(&gateway, &["rotate", text(&made, "id")]).await;
    key(&gateway, &["revoke", text(&made, "id")]).await;
    std::fs::write(gateway.path("keys.csv"), "key,consumer\n0123456789abcdef,eve\n").unwrap();
    key(&gateway, &["import", "keys.csv"]).await;
    call(&gateway, "POST", "/reload", json!({})).await;
    let lines = audit(gateway.path("audit.log").as_path());
    let what: Vec<_> = lines.iter().map(|line| text(line, "what")).collect();
    assert_eq!(what, ["config", "key.create", "key.rotate", "key.revoke", "key.import", "config"]);
    let us = std::process::Command::new("id").arg("-un").output().unwrap().stdout;
    let us = String::from_utf8(us).unwrap();
    for line in &lines[1..] {
        let by = &line["by"];
        assert_eq!((text(by, "via"), text(by, "user")), ("admin", us.trim()), "{line}");
        assert!(text(by, "peer").starts_with("127.0.0.1:") && text(line, "at").ends_with('Z'), "{line}");
    }
    assert_eq!((text(&lines[1], "key"), text(&lines[1], "plan")), (text(&made, "id"), "gold"));
    assert_eq!(text(&lines[2], "replaces"), text(&made, "id"));
    assert_eq!(text(&lines[0]["by"], "via"), "start");

    gateway.write_config("nonsense");
    gateway.wait_for_log_containing("the new configuration is refused").await;
    gateway.write_config(text_of(&origin, "optional = true"));
    gateway.wait_for_log_containing("the configuration is live").await;
    let lines = eventually("the lines", async || {
        Some(audit(&gateway.path("audit.log"))).filter(|lines| lines.len() > 7)
    })
    .await;
    let last: Vec<_> = lines[6..].iter().map(|line| (text(line, "what"), text(&line["by"], "via"))).collect();
    assert_eq!(last, [("config.refused", "files"), ("config", "files")]);
}

pub(super) fn audit(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
