//! Time and random numbers, which every policy has.

use crate::common::{assert_problem, config, config_of_one_worker, guest_plugin, route};
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
    let mut reused = 0;
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
        assert_eq!(answer.header("x-attempts"), Some("1"));
        assert_eq!(answer.header("x-endpoint"), Some(&*origin.address().to_string()));
        match answer.header("x-connect-us") {
            Some("none") => reused += 1,
            made => assert!(made.unwrap().parse::<u64>().unwrap() <= upstream, "{made:?}"),
        }
        let id = answer.header("x-id").unwrap().to_owned();
        assert_eq!(id.len(), 32);
        assert!(seen.insert(id), "an isolate for each exchange, and a number for each");
    }
    assert!((10..20).contains(&reused), "each worker makes one connection, and uses it again: {reused}");
    let local = Client::http1().get(gateway.url("/local")).send().await;
    assert_eq!(local.header("x-upstream-us"), Some("none"), "no upstream was asked");
    assert_eq!(local.header("x-connect-us"), Some("none"));
    assert_eq!((local.header("x-attempts"), local.header("x-endpoint")), (Some("0"), Some("")));
}

#[tokio::test]
async fn policies_are_told_how_often_and_where_it_was_tried() {
    let origin = Origin::start();
    let nobody = "127.0.0.1:1";
    let upstream = format!(
        "[upstream.two]\nendpoints = [\"http://{nobody}\", \"{origin}\"]\nretries = {{ max = 1, on = [\"503\"] }}\n\
         [[route]]\npath = \"/**\"\nupstream = \"two\"\npolicies = [\"chance\"]\n[[route]]\npath = \"/none\"\n\
         upstream = \"none\"\npolicies = [\"chance\"]\n[upstream.none]\nendpoints = [\"http://{nobody}\"]"
    );
    let rest = [guest_plugin("chance"), upstream].join("\n");
    let gateway = Gateway::start(config_of_one_worker(&origin, &rest)).await;
    for _ in 0..4 {
        let answer = Client::http1().get(gateway.url("/")).send().await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("x-endpoint"),
            Some(&*origin.address().to_string()),
            "the one that has answered"
        );
        assert_eq!(answer.header("x-attempts"), Some("2"), "each begins at nobody");
    }
    let failed = Client::http1().get(gateway.url("/none")).send().await;
    assert_problem(&failed, 502);
    assert_eq!((failed.header("x-attempts"), failed.header("x-connect-us")), (Some("1"), Some("none")));
    assert_eq!(failed.header("x-endpoint"), Some(nobody), "the last that was asked");
}
