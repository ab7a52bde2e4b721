//! Time and random numbers, which every policy has.

use crate::common::{config, guest_plugin, route};
use limen_tests::{Client, Gateway, Origin};
use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LOCAL: &str = "[[route]]\npath = \"/local\"\nrespond = { status = 200 }\npolicies = [\"chance\"]";

#[tokio::test]
async fn the_time_is_now_and_no_number_comes_twice() {
    let origin = Origin::start();
    let rest = [guest_plugin("chance"), route("/**", r#""chance""#), LOCAL.to_owned()].join("\n");
    let gateway = Gateway::start(config(&origin, &rest)).await;
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let begun = Instant::now();
        let answer = Client::http1().get(gateway.url("/slow?ms=20")).send().await;
        let number = |name: &str| answer.header(name).unwrap().parse::<u64>().unwrap();
        assert!((before..=before + begun.elapsed().as_secs() + 1).contains(&number("x-now")));
        let took = Duration::from_micros(number("x-took-us"));
        assert!(took >= Duration::from_millis(19) && took <= begun.elapsed(), "{took:?}");
        let (upstream, since) = (number("x-upstream-us"), number("x-since-us"));
        assert!(19_000 <= upstream && upstream <= since, "{upstream} {since}");
        assert!(Duration::from_micros(since) <= begun.elapsed());
        let id = answer.header("x-id").unwrap().to_owned();
        assert_eq!(id.len(), 32);
        assert!(seen.insert(id), "an isolate for each exchange, and a number for each");
    }
    let local = Client::http1().get(gateway.url("/local")).send().await;
    assert_eq!(local.header("x-upstream-us"), Some("none"), "no upstream was asked");
}
