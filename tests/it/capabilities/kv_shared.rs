//! Stores that gateways share, and what plugins are told while the Redis of them does not answer.

use std::time::{Duration, Instant};

use crate::common::{config, guest_plugin_with, route};
use limen_tests::{Client, Gateway, Origin, RealRedis, eventually};

const SHARED: &str = "[store.sessions]\nshared = true\n";

fn with(origin: &Origin, store: &str) -> String {
    let keys = "grants = { kv = [\"sessions\"] }\nlimits = { cpu = \"2s\", wall = \"10s\" }";
    let admin = "[admin]\naddress = \"127.0.0.1:0\"";
    config(origin, &[admin, store, &guest_plugin_with("keeps", keys), &route("/**", "\"keeps\"")].join("\n"))
}

fn url(redis: &RealRedis) -> String {
    format!("[store]\nurl = \"{redis}\"\n")
}

async fn pair(origin: &Origin, redis: &RealRedis) -> [Gateway; 2] {
    let text = with(origin, &[&url(redis), SHARED].concat());
    [Gateway::start(&text).await, Gateway::start(&text).await]
}

async fn told(gateway: &Gateway, path: &str) -> String {
    told_with(gateway, path, "").await
}

/// With a time to live in milliseconds.
async fn told_with(gateway: &Gateway, path: &str, ttl: &str) -> String {
    let asked = Client::http1().get(gateway.url(path));
    let asked = if ttl.is_empty() { asked } else { asked.header("x-ttl", ttl) };
    asked.send().await.text()
}

#[tokio::test]
async fn what_one_gateway_sets_the_other_has() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let [one, other] = pair(&origin, &redis).await;
    for (gateway, path, answer) in [
        (&one, "/get/a", "none"),
        (&one, "/set/a/1", "set"),
        (&other, "/get/a", "1"),
        (&other, "/incr/a/41", "42"),
        (&one, "/get/a", "42"),
        (&one, "/incr/new/-3", "-3"),
        (&other, "/incr/new/-9223372036854775807", "-9223372036854775808"),
        (&other, "/incr/new/-1", "-9223372036854775808"),
        (&one, "/incr/most/9007199254740993", "9007199254740993"),
        (&other, "/incr/most/1", "9007199254740994"),
        (&other, "/incr/most/9223372036854775807", "9223372036854775807"),
        (&one, "/set/word/x", "set"),
        (&other, "/incr/word/1", "WrongType"),
        (&other, "/swap/word/y/z", "false"),
        (&other, "/swap/word/x/z", "true"),
        (&one, "/swap/word/-/q", "false"),
        (&one, "/swap/fresh/-/q", "true"),
        (&other, "/get/word", "z"),
        (&one, "/remove/word", "removed"),
        (&other, "/remove/word", "removed"),
        (&other, "/get/word", "none"),
        (&one, "/set/empty/", "set"),
        (&other, "/get/empty", ""),
        (&other, "/swap/empty/-/x", "false"),
        (&one, "/long/a", "TooLarge"),
    ] {
        assert_eq!(told(gateway, path).await, answer, "{path}");
    }
    assert!(redis.ask("GET limen:kv:sessions:fresh").contains("\nq"));
    assert!(redis.ask("PTTL limen:kv:sessions:fresh").contains(":-1"), "without an end");
}

#[tokio::test]
async fn what_both_do_at_once_is_done_one_after_another() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let gateways = pair(&origin, &redis).await;
    let all = |path: &str| {
        let asked = (0..200).map(|number| {
            let url = gateways[number % 2].url(path);
            tokio::spawn(async move { Client::http1().get(url).send().await.text() })
        });
        asked.collect::<Vec<_>>()
    };
    let mut sums = Vec::new();
    for answer in all("/incr/many/1") {
        sums.push(answer.await.unwrap().parse::<usize>().unwrap());
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=200).collect::<Vec<_>>(), "each has its own");
    let mut wins = 0;
    for answer in all("/swap/lock/-/mine") {
        wins += usize::from(answer.await.unwrap() == "true");
    }
    assert_eq!(wins, 1);
}

#[tokio::test]
async fn values_end_for_all() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let [one, other] = pair(&origin, &redis).await;
    assert_eq!(told_with(&one, "/set/short/1", "50").await, "set");
    assert_eq!(told_with(&one, "/swap/swapped/-/1", "50").await, "true");
    assert_eq!(told_with(&one, "/incr/sum/1", "50").await, "1");
    told_with(&one, "/incr/sum/1", "60000").await;
    for path in ["/get/short", "/get/swapped", "/get/sum"] {
        eventually("it ends", async || (told(&other, path).await == "none").then_some(())).await;
    }
    one.write_config(with(&origin, &[&url(&redis), SHARED, "ttl = \"1h\"\n"].concat()));
    one.wait_for_log_containing("the configuration is live").await;
    assert_eq!(told(&one, "/set/usual/1").await, "set");
    let left: u64 =
        redis.ask("PTTL limen:kv:sessions:usual").rsplit(':').next().unwrap().trim().parse().unwrap();
    assert!((3_500_000..=3_600_000).contains(&left), "{left}");
    assert_eq!(told_with(&one, "/set/usual/1", "0").await, "set");
    assert!(redis.ask("PTTL limen:kv:sessions:usual").contains(":-1"), "0 is without an end");
}

#[tokio::test]
async fn while_it_is_gone_plugins_are_told_so() {
    let Some(mut redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let [one, other] = pair(&origin, &redis).await;
    assert_eq!(told(&one, "/set/a/1").await, "set");

    redis.stop();
    let began = Instant::now();
    assert_eq!(told(&one, "/incr/a/1").await, "TimedOut", "what became of it is unknown");
    for _ in 0..20 {
        told(&one, "/get/a").await;
    }
    assert!(began.elapsed() < Duration::from_secs(1), "three wait, and no more: {:?}", began.elapsed());
    let not_reached = "Other(\"the shared store is not reached\")";
    assert_eq!(told(&one, "/get/a").await, not_reached);
    redis.go_on();
    one.wait_for_log_containing("the store answers again").await;
    assert!(["1", "2"].contains(&&*told(&one, "/get/a").await));

    redis.kill();
    eventually("it is known to be gone", async || {
        (told(&other, "/get/a").await == not_reached).then_some(())
    })
    .await;
    assert_eq!(told(&other, "/set/a/1").await, not_reached);
    redis.restart();
    other.wait_for_log_containing("the store answers again").await;
    assert_eq!(told(&other, "/get/a").await, "none", "the server has forgotten it");
    assert_eq!(told(&other, "/set/a/1").await, "set");
}

#[tokio::test]
async fn a_reload_may_share_what_was_not_shared() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let shared = with(&origin, &[&url(&redis), SHARED].concat());
    let apart = with(&origin, &[&url(&redis), "[store.sessions]\n"].concat());
    let [one, other] = [Gateway::start(&apart).await, Gateway::start(&shared).await];
    assert_eq!(told(&one, "/set/a/1").await, "set");
    assert_eq!(told(&other, "/get/a").await, "none");
    one.write_config(&shared);
    one.wait_for_log_containing("the configuration is live").await;
    assert_eq!(told(&one, "/get/a").await, "none");
    assert_eq!(told(&one, "/set/a/2").await, "set");
    assert_eq!(told(&other, "/get/a").await, "2");
    let metrics = Client::http1().get(other.admin_url("/metrics")).send().await.text();
    assert!(!metrics.contains("limen_store_entries"), "the server knows: {metrics}");
}
