//! How many at a time, over all gateways that share a Redis.

use std::time::Duration;

use crate::common::{assert_problem, config, route};
use limen_tests::{Act, Client, Gateway, Origin, RealRedis, Scripted, SlowLine, eventually};
use tokio::task::JoinHandle;

/// Two under way at the same time, for all clients together in `/silent`, which never answers, and elsewhere.
async fn gateway(origin: &Origin, silent: &Scripted, redis: &RealRedis, settings: &str) -> Gateway {
    gateway_with(origin, silent, &format!("url = \"{redis}\""), settings).await
}

/// A pair of them.
async fn two(origin: &Origin, silent: &Scripted, redis: &RealRedis, settings: &str) -> [Gateway; 2] {
    [gateway(origin, silent, redis, settings).await, gateway(origin, silent, redis, settings).await]
}

/// One with these settings of the store.
async fn gateway_with(origin: &Origin, silent: &Scripted, store: &str, settings: &str) -> Gateway {
    let rest = format!(
        "[store]\n{store}\n[upstream.silent]\nendpoints = [\"{silent}\"]\n\
         [[route]]\npath = \"/silent\"\npolicies = [\"two\"]\nupstream = \"silent\"\n\
         [policy.two]\nuse = \"concurrency\"\nwith = {{ limit = 2, dead_after = \"3s\", {settings} }}\n{}",
        route("/**", "\"two\"")
    );
    Gateway::start(config(origin, &rest)).await
}

/// One more is under way there.
async fn wait_at(gateway: &Gateway, silent: &Scripted) -> JoinHandle<()> {
    let (before, url) = (silent.busy(), gateway.url("/silent"));
    let waiting = tokio::spawn(async move { drop(Client::http1().get(url).try_send().await) });
    eventually("it is under way", async || (silent.busy() > before).then_some(())).await;
    waiting
}

async fn status(gateway: &Gateway) -> u16 {
    Client::http1().get(gateway.url("/")).send().await.status.as_u16()
}

async fn passes(gateway: &Gateway) {
    eventually("a place is free", async || (status(gateway).await == 200).then_some(())).await;
}

/// What the store counts.
fn counted(redis: &RealRedis) -> u32 {
    let keys = redis.ask("KEYS limen:places:*");
    let Some(key) = keys.lines().map(str::trim).find(|line| line.starts_with("limen:")) else { return 0 };
    redis.ask(&format!("ZCARD {key}")).trim().trim_start_matches(':').parse().unwrap()
}

#[tokio::test]
async fn gateways_count_together_what_is_under_way() {
    let Some(redis) = RealRedis::start() else { return };
    let (origin, silent) = (Origin::start(), Scripted::start(|_, _| Act::Silence).await);
    let [one, other] = two(&origin, &silent, &redis, "").await;
    let waiting = [wait_at(&one, &silent).await, wait_at(&other, &silent).await];
    for gateway in [&one, &other] {
        let refused = Client::http1().get(gateway.url("/")).send().await;
        assert_problem(&refused, 429);
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    one.wait_for_log_containing("2 requests are under way already").await;
    waiting[1].abort();
    passes(&one).await;
    eventually("the other one is counted", async || (counted(&redis) == 1).then_some(())).await;
    for _ in 0..20 {
        assert_eq!(status(&other).await, 200, "it stays free when it is given back");
    }
    eventually("one is counted", async || (counted(&redis) == 1).then_some(())).await;
    waiting[0].abort();
    eventually("none is", async || (counted(&redis) == 0).then_some(())).await;
}

#[tokio::test]
async fn a_gateway_that_was_killed_holds_nothing_for_long_and_one_that_lives_does() {
    let Some(redis) = RealRedis::start() else { return };
    let (origin, silent) = (Origin::start(), Scripted::start(|_, _| Act::Silence).await);
    let [one, other] = two(&origin, &silent, &redis, "").await;
    let waiting = wait_at(&one, &silent).await;
    wait_at(&other, &silent).await;
    assert_eq!(status(&one).await, 429);
    // Dropped, it is killed.
    drop(other);
    passes(&one).await;
    // That took longer than a place is held which nobody renews.
    eventually("only what is still under way is counted", async || (counted(&redis) == 1).then_some(()))
        .await;
    assert_eq!(status(&one).await, 200);
    eventually("it still is", async || (counted(&redis) == 1).then_some(())).await;
    waiting.abort();
}

#[tokio::test]
async fn what_is_under_way_is_counted_again_by_a_store_that_forgot_it() {
    let Some(mut redis) = RealRedis::start() else { return };
    let (origin, silent) = (Origin::start(), Scripted::start(|_, _| Act::Silence).await);
    let [one, other] = two(&origin, &silent, &redis, "").await;
    let before = wait_at(&one, &silent).await;
    redis.kill();
    one.wait_for_log_containing("the store does not answer").await;
    other.wait_for_log_containing("the store does not answer").await;
    let meanwhile = wait_at(&one, &silent).await;
    assert_eq!(status(&one).await, 429, "each counts for itself");
    assert_eq!(status(&other).await, 200);
    redis.restart();
    for gateway in [&one, &other] {
        gateway.wait_for_log_containing("the store answers again").await;
    }
    eventually("both are counted", async || (counted(&redis) == 2).then_some(())).await;
    assert_eq!(status(&other).await, 429);
    before.abort();
    passes(&other).await;
    meanwhile.abort();
}

/// Renewed and left are one after the other, also at a store that does not know the scripts yet.
#[tokio::test]
async fn what_is_left_while_a_store_comes_back_is_not_taken_again() {
    let Some(mut redis) = RealRedis::start() else { return };
    let (origin, silent) = (Origin::start(), Scripted::start(|_, _| Act::Silence).await);
    let line = SlowLine::to(redis.address()).await;
    let store = format!("url = \"{line}\"\ntimeout = \"5s\"");
    let gateway = gateway_with(&origin, &silent, &store, "").await;
    let waiting = [wait_at(&gateway, &silent).await, wait_at(&gateway, &silent).await];
    redis.kill();
    gateway.wait_for_log_containing("the store does not answer").await;
    // Time for both to end before the gateway hears that a script is not known.
    line.delay(Duration::from_millis(300));
    redis.restart();
    gateway.wait_for_log_containing("the store answers again").await;
    waiting.iter().for_each(JoinHandle::abort);
    eventually("both have ended", async || (silent.busy() == 0).then_some(())).await;
    // Its place is asked for after them, and the answer takes as long as theirs.
    assert_eq!(status(&gateway).await, 200);
}

/// One that was asked for and is left before the answer is there, at a store that does not know the scripts yet.
#[tokio::test]
async fn a_place_that_nobody_waits_for_any_more_is_not_taken() {
    let Some(mut redis) = RealRedis::start() else { return };
    let (origin, silent) = (Origin::start(), Scripted::start(|_, _| Act::Silence).await);
    let line = SlowLine::to(redis.address()).await;
    let store = format!("url = \"{line}\"\ntimeout = \"5s\"");
    let gateway = gateway_with(&origin, &silent, &store, "").await;
    redis.kill();
    gateway.wait_for_log_containing("the store does not answer").await;
    line.delay(Duration::from_millis(300));
    redis.restart();
    gateway.wait_for_log_containing("the store answers again").await;
    let asking = [(); 2].map(|()| {
        let url = gateway.url("/silent");
        tokio::spawn(async move { drop(Client::http1().get(url).try_send().await) })
    });
    eventually("both are asked for", async || (redis.calls("eval") == 2).then_some(())).await;
    asking.iter().for_each(JoinHandle::abort);
    eventually("both are left", async || (redis.calls("zrem") == 2).then_some(())).await;
    assert_eq!(status(&gateway).await, 200);
}

#[tokio::test]
async fn while_it_is_gone_requests_are_refused_if_that_is_asked_for() {
    let Some(mut redis) = RealRedis::start() else { return };
    let (origin, silent) = (Origin::start(), Scripted::start(|_, _| Act::Silence).await);
    let gateway = gateway(&origin, &silent, &redis, "on_store_error = \"refuse\"").await;
    assert_eq!(status(&gateway).await, 200);
    redis.stop();
    let began = std::time::Instant::now();
    for _ in 0..10 {
        assert_problem(&Client::http1().get(gateway.url("/")).send().await, 503);
    }
    assert!(began.elapsed() < Duration::from_secs(1), "three wait, and no more: {:?}", began.elapsed());
    redis.go_on();
    passes(&gateway).await;
    redis.kill();
    eventually("it is gone", async || (status(&gateway).await == 503).then_some(())).await;
}

#[tokio::test]
async fn a_policy_may_stay_with_its_gateway() {
    let Some(redis) = RealRedis::start() else { return };
    let (origin, silent) = (Origin::start(), Scripted::start(|_, _| Act::Silence).await);
    let [one, other] = two(&origin, &silent, &redis, "scope = \"gateway\"").await;
    let waiting = [wait_at(&one, &silent).await, wait_at(&one, &silent).await];
    assert_eq!([status(&one).await, status(&other).await], [429, 200]);
    assert_eq!(counted(&redis), 0);
    waiting.iter().for_each(JoinHandle::abort);
}
