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

/// How often those are played again that a machine with too much to do was late for.
const TRIES: usize = 3;

#[tokio::test]
async fn the_tests_for_http_caches_are_passed() {
    let suites: Vec<Value> = serde_json::from_str(SUITE).unwrap();
    let tests = suites.iter().flat_map(|suite| suite["tests"].as_array().unwrap());
    let tests: Vec<_> = tests.filter(|test| test["browser_only"] != true).collect();
    let mut played = play(&tests).await;
    for _ in 0..TRIES {
        let may_be_late = |test: &&&Value| {
            let counts = kind(test) != "check" && !is_known(id(test));
            counts && is_timed(test) && is_judged(test, &played) && played[id(test)].is_err()
        };
        let late: Vec<_> = tests.iter().filter(may_be_late).copied().collect();
        if late.is_empty() {
            break;
        }
        eprintln!("once more, by themselves: {:?}", late.iter().map(|test| id(test)).collect::<Vec<_>>());
        played.extend(play(&late).await);
    }

    let mut counts = HashMap::<(&str, &str), usize>::new();
    let mut failed = Vec::new();
    for test in &tests {
        let (id, kind) = (id(test), kind(test));
        let (result, is_judged) = (&played[id], is_judged(test, &played));
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
    let new: Vec<_> = failed.iter().filter(|id| !is_known(id)).collect();
    assert!(new.is_empty(), "these were passed before: {new:?}");
    let passed: Vec<_> = NOT_PASSED.iter().map(|(id, _)| id).filter(|id| !failed.contains(id)).collect();
    assert!(passed.is_empty(), "these are passed now: {passed:?}");
}

type Played<'a> = HashMap<&'a str, Result<(), Failed>>;

/// Plays them, many at a time, with a cache that has nothing yet.
async fn play<'a>(tests: &[&'a Value]) -> Played<'a> {
    let stage = Stage::default();
    let origin = stage.origin().await;
    let cache = r#"{ use = "cache", with = { store = ["cookies"] } }"#;
    let upstream = format!("[upstream.origin]\nendpoints = [\"{}\"]\n", origin.url());
    let gateway = Gateway::start(format!("{}{upstream}{}", listener(), route("/**", cache))).await;
    let mut played = HashMap::new();
    // What changes something goes by itself: URLs that are on their way at that moment may be taken for what it changes,
    // and are not kept then.
    let (changing, reading): (Vec<_>, Vec<_>) =
        tests.iter().copied().partition(|test| changes_something(test));
    for some in reading.chunks(60).chain(changing.chunks(1)) {
        let results = join_all(some.iter().map(|test| stage.play(&gateway, test))).await;
        played.extend(some.iter().map(|test| id(test)).zip(results));
    }
    played
}

fn id(test: &Value) -> &str {
    test["id"].as_str().unwrap()
}

fn kind(test: &Value) -> &str {
    test["kind"].as_str().unwrap_or("required")
}

/// Those that it depends on are passed.
fn is_judged(test: &Value, played: &Played<'_>) -> bool {
    let needs = test["depends_on"].as_array().into_iter().flatten();
    needs.filter_map(|id| played.get(id.as_str()?)).all(Result::is_ok)
}

fn changes_something(test: &Value) -> bool {
    let mut methods = requests(test).filter_map(|it| it["request_method"].as_str());
    methods.any(|method| method != "GET" && method != "HEAD")
}

fn requests(test: &Value) -> impl Iterator<Item = &Value> {
    test["requests"].as_array().into_iter().flatten()
}

/// It goes by what is fresh for some seconds, and stale after a pause.
fn is_timed(test: &Value) -> bool {
    requests(test).any(|it| it["pause_after"] == true)
}

fn is_known(id: &str) -> bool {
    NOT_PASSED.iter().any(|(known, _)| *known == id)
}
