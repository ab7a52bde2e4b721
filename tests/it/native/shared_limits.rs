//! Limits that gateways share through a Redis, and what becomes of them while it does not answer.

use std::time::{Duration, Instant};

use crate::common::{assert_problem, config, route};
use limen_tests::{Client, Gateway, Load, Origin, REDIS_PASSWORD, RealRedis, SlowLine, eventually};

/// A gateway with this store, and a rate limit with these settings, by the name that they share it by.
async fn gateway(origin: &Origin, store: impl ToString, settings: &str) -> Gateway {
    let store = format!("[store]\nurl = {:?}\n", store.to_string());
    let policy = format!("[policy.shared]\nuse = \"rate-limit\"\nwith = {{ by = [], {settings} }}\n");
    Gateway::start(config(origin, &[store, policy, route("/**", "\"shared\"")].concat())).await
}

async fn status(gateway: &Gateway) -> u16 {
    Client::http1().get(gateway.url("/")).send().await.status.as_u16()
}

/// Two gateways under load: what passed of what may, in shares.
async fn passed(store: &RealRedis, settings: &str) -> f64 {
    let origin = Origin::start();
    let limits = "limits = [{ limit = 500, per = \"1s\", burst = 100 }, { name = \"more\", limit = 9000, per = \"1s\" }]";
    let settings = format!("{limits}, {settings}");
    let gateways = [gateway(&origin, store, &settings).await, gateway(&origin, store, &settings).await];
    let began = Instant::now();
    let start =
        |gateway: &Gateway| Load::start_with(&Client::http1(), &gateway.url("/"), 8, |_| String::new());
    let loads = gateways.each_ref().map(start);
    for load in &loads {
        load.wait_for(|report| report.succeeded >= 600).await;
    }
    let reports = loads.map(Load::stop);
    let most = 100.0 + 500.0 * began.elapsed().as_secs_f64();
    for report in &reports {
        assert_eq!(report.statuses.keys().copied().collect::<Vec<_>>(), [429], "{report:?}");
    }
    let passed: u64 = reports.iter().map(|report| report.succeeded).sum();
    println!("{passed} passed of {most:.0} that may: {settings}");
    for gateway in &gateways {
        assert!(gateway.log().iter().all(|line| !line.contains("does not answer")));
    }
    passed as f64 / most
}

#[tokio::test]
async fn two_gateways_together_are_never_over_the_limit() {
    let Some(redis) = RealRedis::start() else { return };
    let share = passed(&redis, "headers = false").await;
    assert!(share <= 1.0, "never over: {share}");
    assert!(share > 0.9, "and hardly under: {share}");
}

#[tokio::test]
async fn what_is_taken_ahead_is_never_too_much() {
    let Some(redis) = RealRedis::start() else { return };
    let share = passed(&redis, "lease = 20").await;
    assert!(share <= 1.0, "never over: {share}");
    assert!(share > 0.7, "and not far under: {share}");
}

#[tokio::test]
async fn a_lease_saves_round_trips() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let line = SlowLine::to(redis.address()).await;
    let gateway = gateway(&origin, &line, "lease = 100, limits = [{ limit = 1000, per = \"1h\" }]").await;
    assert_eq!(status(&gateway).await, 200);
    // A second lease would take longer than anybody waits.
    redis.stop();
    for _ in 0..50 {
        assert_eq!(status(&gateway).await, 200);
    }
    assert!(gateway.log().iter().all(|line| !line.contains("does not answer")), "nobody asked for it");
    redis.go_on();
}

/// Until it counts there again, which shows in what is left.
async fn shared_again(gateway: &Gateway) {
    eventually("the store counts again", async || {
        gateway.log().iter().any(|line| line.contains("the store answers again")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn while_it_stands_still_each_gateway_counts_for_itself() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let settings = "limits = [{ limit = 3, per = \"1h\" }]";
    let one = gateway(&origin, &redis, settings).await;
    let other = gateway(&origin, &redis, settings).await;
    assert_eq!([status(&one).await, status(&other).await], [200, 200], "one is left");
    redis.stop();
    let began = Instant::now();
    let mut statuses = Vec::new();
    for _ in 0..20 {
        statuses.push(status(&one).await);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3, "its own limit: {statuses:?}");
    assert!(began.elapsed() < Duration::from_secs(1), "three wait, and no more: {:?}", began.elapsed());
    one.wait_for_log_containing("the store does not answer").await;
    redis.go_on();
    shared_again(&one).await;
    // What was sent before anybody knew it was late has been counted when it went on.
    assert!([200, 429].contains(&status(&one).await));
    assert_eq!(status(&one).await, 429, "together again");
    let told = one.log().iter().filter(|line| line.contains("the store")).count();
    assert_eq!(told, 2, "once for each change: {:?}", one.log());
}

#[tokio::test]
async fn while_it_is_gone_requests_are_refused_if_that_is_asked_for() {
    let Some(mut redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let settings = "on_store_error = \"refuse\", limits = [{ limit = 2, per = \"1h\" }]";
    let gateway = gateway(&origin, &redis, settings).await;
    assert_eq!(status(&gateway).await, 200);
    redis.kill();
    let refused = Client::http1().get(gateway.url("/")).send().await;
    assert_problem(&refused, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    gateway.wait_for_log_containing("the store does not answer").await;
    redis.restart();
    shared_again(&gateway).await;
    assert_eq!([status(&gateway).await, status(&gateway).await, status(&gateway).await], [200, 200, 429]);
    assert!(gateway.log().iter().all(|line| !line.contains(REDIS_PASSWORD)));
}

#[tokio::test]
async fn one_that_is_slow_is_not_waited_for() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let line = SlowLine::to(redis.address()).await;
    let gateway = gateway(&origin, &line, "limits = [{ limit = 100, per = \"1h\" }]").await;
    line.delay(Duration::from_millis(20));
    assert_eq!(status(&gateway).await, 200, "in time, if late");
    line.delay(Duration::from_millis(400));
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(status(&gateway).await, 200);
    }
    assert!(began.elapsed() < Duration::from_secs(1), "three wait, and no more: {:?}", began.elapsed());
    let told = gateway.wait_for_log_containing("the store does not answer").await;
    assert!(told.contains("3 answers in a row took longer than 100ms"), "{told}");
    line.delay(Duration::ZERO);
    shared_again(&gateway).await;
}

#[tokio::test]
async fn one_that_was_never_there_does_not_keep_a_gateway_from_starting() {
    let Some(mut redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    redis.kill();
    let gateway = gateway(&origin, &redis, "limits = [{ limit = 1, per = \"1h\" }]").await;
    assert_eq!([status(&gateway).await, status(&gateway).await], [200, 429]);
    redis.restart();
    shared_again(&gateway).await;
    assert_eq!([status(&gateway).await, status(&gateway).await], [200, 429]);
}

#[tokio::test]
async fn metrics_tell_whether_it_answers_and_how_quickly() {
    let Some(mut redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\n";
    let policy = "[policy.shared]\nuse = \"rate-limit\"\nwith.limits = [{ limit = 100, per = \"1h\" }]\n";
    let store = format!("[store]\nurl = \"{redis}\"\n");
    let text = config(&origin, &[admin, &store, policy, &route("/**", "\"shared\"")].concat());
    let gateway = Gateway::start(text).await;
    let metrics = async || Client::http1().get(gateway.admin_url("/metrics")).send().await.text();
    for _ in 0..3 {
        assert_eq!(status(&gateway).await, 200);
    }
    let up = metrics().await;
    let durations = "limen_store_call_duration_seconds";
    for wanted in [
        "limen_store_up 1\n",
        &format!("{durations}_count{{limen_use=\"rate-limit\"}} 3\n"),
        &format!("{durations}_bucket{{limen_use=\"rate-limit\",le=\"+Inf\"}} 3\n"),
        "limen_store_failures_total{limen_use=\"rate-limit\",outcome=\"not_asked\"} 0\n",
    ] {
        assert!(up.contains(wanted), "{wanted}: {up}");
    }
    assert!(!up.contains("limen_use=\"quota\""), "nobody asked: {up}");
    redis.kill();
    // It is seen although nobody asks.
    gateway.wait_for_log_containing("the store does not answer").await;
    assert_eq!(status(&gateway).await, 200, "it counts for itself");
    let down = metrics().await;
    assert!(down.contains("limen_store_up 0\n"), "{down}");
    redis.restart();
    shared_again(&gateway).await;
    assert!(metrics().await.contains("limen_store_up 1\n"));
    redis.stop();
    assert_eq!(status(&gateway).await, 200);
    let late = metrics().await;
    assert!(late.contains("{limen_use=\"rate-limit\",outcome=\"unknown\"} 1\n"), "{late}");
    for _ in 0..4 {
        status(&gateway).await;
    }
    let not_asked = metrics().await;
    let count = "limen_store_failures_total{limen_use=\"rate-limit\",outcome=\"not_asked\"} ";
    let count: u32 = not_asked.split(count).nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    assert!(count >= 2, "{not_asked}");
    redis.go_on();
}

#[tokio::test]
async fn a_wrong_password_is_told_without_it() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let store = redis.to_string().replace(REDIS_PASSWORD, "wrong-and-secret");
    let gateway = gateway(&origin, &store, "limits = [{ limit = 1, per = \"1h\" }]").await;
    gateway.wait_for_log_containing("the store does not answer").await;
    assert_eq!(status(&gateway).await, 200);
    assert!(gateway.log().iter().all(|line| !line.contains("wrong-and-secret")));
}

#[tokio::test]
async fn a_policy_may_stay_with_its_gateway() {
    let Some(redis) = RealRedis::start() else { return };
    let origin = Origin::start();
    let settings = "scope = \"gateway\", limits = [{ limit = 1, per = \"1h\" }]";
    let gateways = [gateway(&origin, &redis, settings).await, gateway(&origin, &redis, settings).await];
    for gateway in &gateways {
        assert_eq!([status(gateway).await, status(gateway).await], [200, 429]);
    }
}
