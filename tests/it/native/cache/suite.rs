//! The tests for HTTP caches by others, in `tests/cache-tests/`.

use std::collections::HashMap;

use futures_util::future::join_all;
use limen_tests::Gateway;
use serde_json::Value;

use super::play::{Failed, Stage};
use crate::common::{listener, route};

const SUITE: &str = include_str!("../../../cache-tests/suite.json");

/// What is required or optimal, and not passed, with the reason.
const NOT_PASSED: &[(&str, &str)] = &[
    ("age-parse-nonnumeric", AGE),
    ("age-parse-negative", AGE),
    ("age-parse-float", AGE),
    ("age-parse-prefix-twoline", AGE),
    ("age-parse-dup-0", AGE),
    ("age-parse-dup-0-twoline", AGE),
    ("age-parse-dup-old", AGE),
    ("age-parse-parameter", AGE),
    ("age-parse-numeric-parameter", AGE),
    ("method-POST", "answers to POST are not kept"),
    ("vary-normalise-lang-order", "upstreams do go by the order of languages"),
    ("vary-normalise-lang-select", "which language is chosen is the upstream's to say"),
    (
        "conditional-lm-fresh-no-lm",
        "it wants 304 where the response is newer than the date (RFC 9110, section 13.1.3)",
    ),
    ("headers-store-Transfer-Encoding", "the gateway refuses what is not framed as HTTP/1.1 is"),
    ("partial-store-partial-reuse-partial", PARTS),
    ("partial-store-partial-reuse-partial-byterange", PARTS),
    ("partial-store-partial-reuse-partial-absent", PARTS),
    ("partial-store-partial-reuse-partial-suffix", PARTS),
    ("partial-store-partial-complete", PARTS),
    ("surrogate-max-age-me-target", TARGET),
    ("surrogate-fresh-cc-nostore", TARGET),
];
const TARGET: &str = "no Surrogate-Capability is announced, so that nothing can be targeted by it";
const AGE: &str =
    "RFC 9111, section 5.1, which is younger: the first age counts, and one that can't be read does not";
const PARTS: &str = "only whole responses are kept";

#[tokio::test]
async fn the_tests_for_http_caches_are_passed() {
    let stage = Stage::default();
    let origin = stage.origin().await;
    let cache = r#"{ use = "cache", with = { store = ["cookies"] } }"#;
    let upstream = format!("[upstream.origin]\nendpoints = [\"{}\"]\n", origin.url());
    let gateway = Gateway::start(format!("{}{upstream}{}", listener(), route("/**", cache))).await;

    let suites: Vec<Value> = serde_json::from_str(SUITE).unwrap();
    let tests = suites.iter().flat_map(|suite| suite["tests"].as_array().unwrap());
    let tests: Vec<_> = tests.filter(|test| test["browser_only"] != true).collect();
    let mut played = HashMap::new();
    for some in tests.chunks(60) {
        let results = join_all(some.iter().map(|test| stage.play(&gateway, test))).await;
        played.extend(some.iter().map(|test| test["id"].as_str().unwrap()).zip(results));
    }

    let mut counts = HashMap::<(&str, &str), usize>::new();
    let mut failed = Vec::new();
    for test in &tests {
        let (id, kind) = (test["id"].as_str().unwrap(), test["kind"].as_str().unwrap_or("required"));
        let needs = test["depends_on"].as_array().into_iter().flatten();
        let is_judged = needs.filter_map(|id| played.get(id.as_str()?)).all(Result::is_ok);
        let result = &played[id];
        let outcome = match result {
            _ if !is_judged => "depends on one that is not passed",
            Ok(()) => "passed",
            Err(Failed::Setup(_)) => "could not be judged",
            Err(Failed::Assertion(_)) => "not passed",
        };
        *counts.entry((kind, outcome)).or_default() += 1;
        if let (true, Err(why)) = (is_judged, result) {
            eprintln!("{kind} {id}: {why}");
            if kind != "check" {
                failed.push(id);
            }
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_unstable();
    eprintln!("{counts:#?}");
    let known: Vec<_> = NOT_PASSED.iter().map(|(id, _)| *id).collect();
    let new: Vec<_> = failed.iter().filter(|id| !known.contains(id)).collect();
    assert!(new.is_empty(), "these were passed before: {new:?}");
    let passed: Vec<_> = known.iter().filter(|id| !failed.contains(id)).collect();
    assert!(passed.is_empty(), "these are passed now: {passed:?}");
}
