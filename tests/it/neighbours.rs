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

/// Hooks that may compute for so little are called the quick way, until one is found to be long.
#[tokio::test]
async fn long_hooks_take_turns_with_the_others_of_their_worker() {
    const AT_ONCE: usize = 8;
    const HOOK: Duration = Duration::from_millis(8);
    let origin = Origin::start();
    let gateway = Gateway::start(config_of_one_worker(
        &origin,
        &[
            guest_plugin_with(
                "burns",
                "limits = { cpu = \"10ms\", wall = \"10s\" }\ngrants = { request_body = true }",
            ),
            route("/long", &format!(r#"{{ use = "burns", with = {{ us = {} }} }}"#, HOOK.as_micros())),
            route("/plain", ""),
        ]
        .join("\n"),
    ))
    .await;
    let client = Client::http1();
    let long: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (client, url) = (client.clone(), gateway.url("/long"));
            tokio::spawn(async move {
                loop {
                    assert_eq!(client.get(&url).send().await.status, 200);
                }
            })
        })
        .collect();
    // Without turns most would have to wait for most of the hooks.
    let too_long = HOOK * AT_ONCE as u32 / 2;
    let mut rounds = Vec::new();
    while rounds.len() < 10 {
        let median = median(&gateway, Duration::from_secs(1)).await;
        if median < too_long {
            break;
        }
        rounds.push(median);
    }
    assert!(rounds.len() < 10, "medians: {rounds:?}");
    assert!(long.iter().all(|task| !task.is_finished()), "a long one went wrong");
    long.iter().for_each(tokio::task::JoinHandle::abort);
}

/// What half of a neighbour's requests take at most while they go on for so long.
async fn median(gateway: &Gateway, time: Duration) -> Duration {
    let mut neighbour = Client::http1().connect(gateway.url("/")).await.unwrap();
    let begun = Instant::now();
    let mut took = Vec::new();
    while begun.elapsed() < time {
        let asked = Instant::now();
        assert_eq!(neighbour.get("/plain").send().await.status, 200);
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    took[took.len() / 2]
}

/// A policy that never ends, asked fifty times a second on one worker, and its neighbours' p99: by its breaker,
/// which soon asks it no more, and without, by nothing but turns and the deadline of each call.
#[tokio::test]
async fn a_loop_asked_often_costs_another_route_a_deadline_at_most() {
    const OFF: &str = ", breaker = { errors = 100, calls = 64, wasted = 100 }";
    for (deadline, breaker, held_back) in [(20, "", true), (10, OFF, false)] {
        let origin = Origin::start();
        let limits = format!("limits = {{ cpu = \"{deadline}ms\", wall = \"10s\"{breaker} }}");
        let rest = [
            "[admin]\naddress = \"127.0.0.1:0\"",
            &guest_plugin_with("loops", &limits),
            &guest_plugin("rig"),
            &route("/loop", r#""loops""#),
            &route("/plain", ""),
            &route("/policy", r#""rig""#),
        ];
        let gateway = Gateway::start(config_of_one_worker(&origin, &rest.join("\n"))).await;
        let mut rounds = Vec::new();
        // A machine that is busy with other tests may be slow in one round, or have so many loops wait that the few
        // calls between them that end well are long over; but not in each.
        while rounds.len() < 10 {
            let before = failures(&gateway).await;
            let alone = p99(&gateway, Duration::from_secs(1)).await;
            let naughty = ask_fifty_times_a_second(&gateway);
            let beside = p99(&gateway, Duration::from_secs(2)).await;
            naughty.abort();
            let after = failures(&gateway).await;
            let more = |kind: &str| after[kind].as_u64().unwrap_or(0) - before[kind].as_u64().unwrap_or(0);
            let (looped, left_alone) = (more("cpu-limit"), more("held-back"));
            let is_as_meant = if held_back { left_alone > 0 } else { left_alone == 0 && looped >= 50 };
            if is_as_meant && beside <= alone + Duration::from_millis(deadline) {
                break;
            }
            rounds.push((alone, beside, looped, left_alone));
        }
        assert!(rounds.len() < 10, "p99 alone and beside the loop, looped, held back: {rounds:?}");
    }
}

/// What of the loops failed, by kind.
async fn failures(gateway: &Gateway) -> serde_json::Value {
    let plugins = Client::http1().get(gateway.admin_url("/plugins")).send().await.json();
    let loops = plugins.as_array().unwrap().iter().find(|it| it["name"] == "loops").unwrap();
    loops["routes"][0]["failures"].clone()
}

/// A few end well: a breaker that opens when all fail stays closed.
fn ask_fifty_times_a_second(gateway: &Gateway) -> tokio::task::JoinHandle<()> {
    let (client, url) = (Client::http1(), gateway.url("/loop"));
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        for number in 0.. {
            ticks.tick().await;
            let naughty = if number % 25 == 0 { "no" } else { "loop" };
            tokio::spawn(client.get(&url).header("x-naughty", naughty).send());
        }
    })
}

/// The longest that 99 of 100 neighbours' requests take, with a policy and without, while they go on for so long.
async fn p99(gateway: &Gateway, time: Duration) -> Duration {
    let mut neighbour = Client::http1().connect(gateway.url("/")).await.unwrap();
    let begun = Instant::now();
    let mut took = Vec::new();
    while begun.elapsed() < time {
        for path in ["/plain", "/policy"] {
            let asked = Instant::now();
            assert_eq!(neighbour.get(path).send().await.status, 200);
            took.push(asked.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    took.sort_unstable();
    took[took.len() * 99 / 100]
}
