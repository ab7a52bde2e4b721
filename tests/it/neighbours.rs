//! A policy without end holds up nobody else on its worker by more than a few ticks of a millisecond.

use crate::common::{config_of_one_worker, guest_plugin, guest_plugin_with, route};
use limen_tests::{Client, Gateway, Origin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long the loop may go on: whoever had to wait for its end would wait about this long.
const LOOP: Duration = Duration::from_millis(1000);

#[tokio::test]
async fn an_endless_loop_leaves_the_others_of_its_worker_their_latency() {
    let origin = Origin::start();
    let gateway = Gateway::start(config_of_one_worker(
        &origin,
        &[
            guest_plugin_with("loops", r#"limits = { cpu = "1s", wall = "10s" }"#),
            guest_plugin("rig"),
            route("/loop", r#"{ use = "loops", with = { always = true } }"#),
            route("/plain", ""),
            route("/policy", r#""rig""#),
        ]
        .join("\n"),
    ))
    .await;

    // A machine that is busy with other tests can be slow three times, but not in the same way as a loop
    // that doesn't yield: of that, no round has a request that fits in.
    let mut rounds = vec![];
    for _ in 0..3 {
        let round = ask_during_a_loop(&gateway).await;
        if round.is_quick() {
            return;
        }
        rounds.push(round);
    }
    panic!("in no round the neighbours were quick: {rounds:?}");
}

/// How long the neighbours' requests took that began and ended while the loop went on.
#[derive(Debug)]
struct Round {
    asked: usize,
    median: Duration,
    longest: Duration,
}

impl Round {
    fn is_quick(&self) -> bool {
        self.asked >= 20
            && self.median < Duration::from_millis(20)
            && self.longest < Duration::from_millis(100)
    }
}

async fn ask_during_a_loop(gateway: &Gateway) -> Round {
    let client = Client::http1();
    let mut neighbour = client.connect(gateway.url("/")).await.unwrap();
    let looping = Arc::new(AtomicBool::new(true));
    let begun = Instant::now();
    let naughty = {
        let (client, url, looping) = (client.clone(), gateway.url("/loop"), looping.clone());
        tokio::spawn(async move {
            let answer = client.get(url).send().await;
            looping.store(false, Ordering::Relaxed);
            answer
        })
    };
    let mut took = vec![];
    while looping.load(Ordering::Relaxed) {
        for path in ["/plain", "/policy"] {
            let asked = Instant::now();
            assert_eq!(neighbour.get(path).send().await.status, 200);
            if looping.load(Ordering::Relaxed) {
                took.push(asked.elapsed());
            }
        }
    }
    assert_eq!(naughty.await.unwrap().status, 503);
    assert!(begun.elapsed() >= LOOP, "the loop did not go on for its CPU limit: {:?}", begun.elapsed());
    took.sort();
    let pick = |at: usize| took.get(at).copied().unwrap_or(Duration::MAX);
    Round { asked: took.len(), median: pick(took.len() / 2), longest: pick(took.len().wrapping_sub(1)) }
}
