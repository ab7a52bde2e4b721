//! `limen status` and `limen reload`: what operators type, and what they read.

use crate::common::{config, config_of_one_worker, guest_plugin, guest_plugin_with, route};
use limen_tests::{Client, Finished, Gateway, Origin, guest};
use serde_json::Value;

const ADMIN: &str = "[admin]\naddress = \"127.0.0.1:0\"\n";

/// `limen COMMAND` beside this gateway.
async fn command(gateway: &Gateway, command: &str, more: &[&str]) -> Finished {
    let url = gateway.admin_url("");
    let address = url.split_once("://").unwrap().1;
    gateway.successor().finish(&[&[command, "--admin", address], more].concat()).await
}

async fn status(gateway: &Gateway) -> Value {
    let finished = command(gateway, "status", &["--json"]).await;
    serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"))
}

#[tokio::test]
async fn status_tells_how_the_gateway_is() {
    let origin = Origin::start();
    let rest = [guest_plugin("raw"), route("/raw", "\"raw\""), route("/**", "")].join("\n");
    let gateway = Gateway::start(format!("{ADMIN}{}", config(&origin, &rest))).await;
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    assert_eq!(connection.get("/").send().await.status, 200);

    let shown = command(&gateway, "status", &[]).await;
    assert!(shown.status.success(), "{shown:?}");
    let lines: Vec<_> = shown.stdout.lines().map(str::trim).collect();
    let has = |parts: &[&str]| {
        let found = lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "{parts:?}: {}", shown.stdout);
    };
    has(&["limen ", ": ready, process ", &gateway.pid().to_string()]);
    has(&["limen.toml: generation 1, 2 routes"]);
    has(&["plain", &format!("http://{}", gateway.addr("plain")), "1 connections"]);
    has(&["origin", "1 of 1 healthy"]);
    has(&[&origin.address().to_string(), "healthy"]);
    has(&["raw"]);

    let told = status(&gateway).await;
    assert_eq!((&told["stage"], &told["ready"]), (&"ready".into(), &true.into()));
    assert_eq!(
        (told["generation"].as_u64(), told["process"].as_u64()),
        (Some(1), Some(gateway.pid().into()))
    );
    assert_eq!(told["listeners"][0]["open_connections"], 1);
    assert_eq!(told["upstreams"][0]["endpoints"][0]["condition"], "healthy");
    assert_eq!(told["plugins"][0]["name"], "raw");
    assert_eq!(told["reloads"]["last"], Value::Null);
}

#[tokio::test]
async fn status_tells_which_plugins_are_held_back() {
    let origin = Origin::start();
    let limits = r#"limits = { cpu = "2s", wall = "10s", breaker = { calls = 1, open = "1h" } }"#;
    let rest = format!("{ADMIN}{}\n{}", guest_plugin_with("traps", limits), route("/**", "\"traps\""));
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    let shown = command(&gateway, "status", &[]).await;
    assert!(!shown.stdout.contains("held back"), "{shown:?}");
    let trapped = Client::http1().get(gateway.url("/")).header("x-naughty", "panic").send().await;
    assert_eq!(trapped.status, 503);
    let shown = command(&gateway, "status", &[]).await;
    assert!(shown.stdout.contains("held back by 1 worker"), "{shown:?}");
}

#[tokio::test]
async fn reload_tells_what_became_of_it() {
    let origin = Origin::start();
    let good = format!("{ADMIN}{}", config(&origin, &route("/a", "")));
    let gateway = Gateway::start(&good).await;
    let done = command(&gateway, "reload", &[]).await;
    assert!(done.status.success() && done.stdout.starts_with("the configuration is live ("), "{done:?}");
    assert_eq!(status(&gateway).await["generation"], 2);

    // Broken in such a way that nothing of it can be read.
    let broken = format!("{good}\n[[route]]\nupstream = \"orign\"\npath = [");
    gateway.write_config(&broken);
    let refused = command(&gateway, "reload", &[]).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stdout.contains("the running one serves on"), "{refused:?}");
    assert!(refused.stdout.contains("limen.toml:") && refused.stdout.contains("invalid TOML"), "{refused:?}");
    let shown = command(&gateway, "status", &[]).await;
    assert!(shown.status.success() && shown.stdout.contains("was refused (one error"), "{shown:?}");
    let told = status(&gateway).await;
    assert_eq!((&told["generation"], &told["reloads"]["last"]["ok"]), (&2.into(), &false.into()));
}

#[tokio::test]
async fn a_plugin_that_stays_on_its_last_good_version_is_no_success() {
    let (origin, good) = (Origin::start(), std::fs::read(guest("raw")).unwrap());
    let rest = format!("{ADMIN}[plugin.mine]\ncomponent = \"mine.wasm\"\n{}", route("/**", "\"mine\""));
    let setup = Gateway::with(config(&origin, &rest)).file("mine.wasm", &good);
    let gateway = setup.start().await;
    gateway.replace_file("mine.wasm", &good[..good.len() / 2]);
    let done = command(&gateway, "reload", &[]).await;
    let but = "the configuration is live, but one plugin stays on its last good version (";
    assert!(done.status.code() == Some(1) && done.stdout.starts_with(but), "{done:?}");
    assert!(done.stdout.contains("plugin `mine` stays on "), "{done:?}");
    let shown = command(&gateway, "status", &[]).await;
    assert!(shown.status.success() && shown.stdout.contains(", but one plugin stays on"), "{shown:?}");
    assert!(shown.stdout.contains("on their last good version\n"), "{shown:?}");
    let metrics = Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
    assert!(metrics.contains("limen_last_reload_kept_back 1"), "{metrics}");
    gateway.replace_file("mine.wasm", &good);
    let done = command(&gateway, "reload", &[]).await;
    assert!(done.status.success() && done.stdout.starts_with("the configuration is live ("), "{done:?}");
}

/// Address and token are those of the file, also when there are mistakes beside them.
#[tokio::test]
async fn the_configuration_says_where_to_ask_and_with_what() {
    let origin = Origin::start();
    let token = "token_file = \"token\"\n";
    let text = config(&origin, &route("/**", ""));
    let setup = Gateway::with(format!("{ADMIN}{token}{text}")).file("token", "a-token-of-some-length\n");
    let gateway = setup.start().await;
    let url = gateway.admin_url("");
    let address = url.split_once("://").unwrap().1;
    let other = format!("[admin]\naddress = {address:?}\n{token}[[route]]\nupstream = 7\n");
    let asked = gateway.successor().file("other.toml", &other).finish(&["status", "other.toml"]).await;
    assert!(asked.status.success() && asked.stdout.contains("ready"), "{asked:?}");

    gateway.successor().file("token.bad", "another-token-of-some-length");
    let other = other.replace("\"token\"", "\"token.bad\"");
    let asked = gateway.successor().file("other.toml", other).finish(&["status", "other.toml"]).await;
    assert_eq!(asked.status.code(), Some(1));
    assert!(asked.stderr.contains("401") && asked.stderr.contains("needs the token"), "{asked:?}");
}

#[tokio::test]
async fn a_gateway_that_is_not_there_or_can_not_be_asked_is_a_mistake() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let text = format!("[admin]\naddress = {free:?}\n");
    let asked = Gateway::with(text).finish(&["status"]).await;
    assert_eq!(asked.status.code(), Some(1));
    assert!(asked.stderr.contains(&format!("no answer from the gateway at {free}")), "{asked:?}");
    for (text, says) in [
        ("", "without [admin] a running gateway can't be asked"),
        (ADMIN, "[admin] asks for any port"),
        ("[admin]\nadress = \"127.0.0.1:1\"", "unknown key `adress`"),
        ("[admin\n", "invalid TOML"),
    ] {
        let asked = Gateway::with(text).finish(&["reload"]).await;
        assert_eq!(asked.status.code(), Some(1));
        assert!(asked.stderr.contains(says), "{text:?}: {asked:?}");
    }
}

#[tokio::test]
async fn one_that_leaves_is_not_ready() {
    let origin = Origin::start();
    let text = format!("[gateway]\ndrain_delay = \"1h\"\n{ADMIN}{}", config(&origin, &route("/**", "")));
    let gateway = Gateway::start(text).await;
    gateway.sigterm();
    gateway.wait_for_log_containing("leaving: no longer ready").await;
    let shown = command(&gateway, "status", &[]).await;
    assert_eq!(shown.status.code(), Some(1), "{shown:?}");
    assert!(shown.stdout.contains("leaving: about to drain"), "{shown:?}");
}
