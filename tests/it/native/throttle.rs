use std::time::{Duration, Instant};

use super::{gateway, mistake};
use crate::common::assert_problem;
use limen_tests::{Client, Gateway, Load, Origin, eventually};

async fn status(gateway: &Gateway) -> u16 {
    Client::http1().get(gateway.url("/")).send().await.status.as_u16()
}

#[tokio::test]
async fn requests_keep_the_pace() {
    let origin = Origin::start();
    let policy = r#"{ use = "throttle", with = { limit = 100, per = "1s", burst = 5, queue = 20 } }"#;
    let gateway = gateway(&origin, policy).await;
    let began = Instant::now();
    let load = Load::start_with(&Client::http1(), &gateway.url("/"), 8, |_| String::new());
    load.wait_for(|report| report.succeeded >= 200).await;
    let report = load.stop();
    let most = 5.0 + 100.0 * began.elapsed().as_secs_f64();
    println!("{} passed of {most:.0} that may", report.succeeded);
    assert_eq!(report.failed, 0, "there is room for all of them to wait: {report:?}");
    assert!(report.succeeded as f64 <= most + 1.0);
    assert!(report.succeeded as f64 >= 0.85 * most, "{} of {most}", report.succeeded);
}

#[tokio::test]
async fn who_finds_no_room_or_waits_for_too_long_is_refused() {
    let origin = Origin::start();
    let policy =
        r#"{ use = "throttle", with = { limit = 1, per = "1h", queue = 1, wait = "300ms", by = [] } }"#;
    let gateway = gateway(&origin, policy).await;
    assert_eq!(status(&gateway).await, 200);
    let url = gateway.url("/");
    let waiting = tokio::spawn(async move { Client::http1().get(url).send().await });
    gateway.wait_for_log_containing("it has waited for too long").await;
    let refused = waiting.await.unwrap();
    assert_problem(&refused, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3600..=7200).contains(&wait), "{wait}");
    // Two at once: one of them finds the other one there.
    let began = Instant::now();
    let both = tokio::join!(status(&gateway), status(&gateway));
    assert_eq!(both, (429, 429));
    assert!(began.elapsed() < Duration::from_secs(5));
    gateway.wait_for_log_containing("too many wait already").await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_queue() {
    let origin = Origin::start();
    let policy = r#"{ use = "throttle", with = { limit = 1, per = "1h", queue = 1, wait = "5m", by = [] } }"#;
    let gateway = gateway(&origin, policy).await;
    assert_eq!(status(&gateway).await, 200);
    for _ in 0..3 {
        // It would be refused as long as the one before is still there.
        eventually("it may wait", async || {
            let asked = Client::http1().get(gateway.url("/")).try_send();
            tokio::time::timeout(Duration::from_millis(200), asked).await.is_err().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn mistakes_are_shown_with_their_line() {
    let said = mistake(r#"{ use = "throttle", with = { limit = 1, wait = "1h" } }"#).await;
    assert!(said.contains("expected a time from 1ms to 5m"), "{said}");
}
