//! The mocks of capabilities do as the gateway does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use limen::jwt::JwtError;
use limen::metrics::Metric;
use limen::{cache, clock, consumer, crypto, jwt, random, secrets, timing};
use std::time::Duration;

use limen::prelude::*;
use limen::testing::{self, Consumer};

/// What a test wants done in `on_request`.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Do {
    NameConsumer,
    ReadConsumer,
    Cache,
    Sign,
    Token,
    Count,
    Chance,
    Time,
}

#[derive(Deserialize, JsonSchema)]
struct Config {
    what: Do,
}

struct Sample {
    config: Config,
}

const SEEN: Metric = Metric::counter("seen", "Requests.").labels(&["host", "method"]);
const WAITED: Metric = Metric::histogram("waited", "Waited.").unit("seconds").buckets(&[0.1, 1.0]);

#[limen::policy(metrics = [SEEN, WAITED])]
impl Sample {
    fn configure(config: Config) -> Result<Self> {
        Ok(Sample { config })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        match self.config.what {
            Do::NameConsumer => {
                consumer::set(&request.header("x-key").unwrap_or_default())?;
                consumer::set_attribute("plan", "gold")?;
                ensure!(!request.has_header("x-fail"), "told to fail");
            }
            Do::ReadConsumer => {
                request.set_header("x-id", &consumer::id().unwrap_or_default())?;
                request.set_header("x-plan", &consumer::attribute("plan").unwrap_or_default())?;
                request.set_header("x-else", &consumer::attribute("else").unwrap_or_default())?;
            }
            Do::Cache => {
                let first = cache::add("first", request.path(), Duration::from_millis(100));
                request.set_header(
                    "x-first",
                    &format!("{first} {}", cache::get_text("first").unwrap_or_default()),
                )?;
                let long = request.header("x-long").map_or(0, |long| long.len());
                request
                    .set_header("x-put", &cache::put("last", "x".repeat(long), Duration::ZERO).to_string())?;
            }
            Do::Sign => {
                let tag = secrets::hmac_sha256("webhook", "what do ya want for nothing?")?;
                let verified = secrets::hmac_sha256_verify("webhook", "what do ya want for nothing?", &tag)?;
                request.set_header("x-tag", &format!("{:02x}{:02x} {verified}", tag[0], tag[1]))?;
                request.set_header("x-revealed", &format!("{:?}", secrets::reveal("webhook")))?;
                request.set_header(
                    "x-equal",
                    &crypto::equal(crypto::sha256("a"), crypto::sha512("a")).to_string(),
                )?;
            }
            Do::Token => {
                let claims: limen::Value =
                    jwt::claims("idp", &request.header("x-token").or_reply(401)?)?.or_reply(401)?;
                request.set_header("x-sub", claims["sub"].as_str().unwrap_or_default())?;
            }
            Do::Count => {
                SEEN.add(2, &[("method", &request.method_text())]);
                SEEN.add(1, &[("else", "x")]);
                WAITED.observe(0.5, &[]);
                WAITED.observe(f64::NAN, &[]);
                Metric::counter("unheard_of", "Not declared.").add(1, &[]);
            }
            Do::Chance => {
                request.set_header("x-now", &clock::unix_seconds().to_string())?;
                request.set_header("x-monotonic", &format!("{:?}", clock::monotonic()))?;
                request.set_header("x-id", &random::id())?;
            }
            Do::Time => {
                ensure!((timing::attempts(), timing::endpoint()) == (0, None), "nobody was asked yet")
            }
        }
        Ok(Flow::Next)
    }

    fn on_response(&mut self, response: &mut Response) -> Result<Flow> {
        response.set_header("x-time", &format!("{:?} {:?}", timing::since_received(), timing::upstream()))?;
        let way = format!("{:?} {} {:?}", timing::connect(), timing::attempts(), timing::endpoint());
        response.set_header("x-way", &way)?;
        Ok(Flow::Next)
    }
}

fn sample(what: &str) -> testing::Tested<Sample> {
    testing::policy(json!({ "what": what })).unwrap()
}

#[test]
fn a_consumer_is_named_unless_the_policy_fails() {
    let mut sample = sample("name-consumer");
    let mut exchange = sample.exchange(testing::get("/").header("x-key", "ada"));
    exchange.request().next();
    assert_eq!(exchange.consumer(), Some(&Consumer::new("ada").attribute("plan", "gold")));

    let failing = testing::get("/").header("x-key", "ada").header("x-fail", "1");
    let mut exchange = sample.exchange(failing).named(Consumer::new("bob"));
    exchange.request().failure();
    assert_eq!(exchange.consumer(), Some(&Consumer::new("bob")));

    let empty = sample.exchange(testing::get("/")).request().failure();
    assert_eq!(empty, "consumer ``: not valid");
}

#[test]
fn a_consumer_is_read() {
    let mut sample = sample("read-consumer");
    let mut exchange =
        sample.exchange(testing::get("/")).named(Consumer::new("ada").attribute("plan", "gold"));
    let request = exchange.request().next();
    assert_eq!((request.value("x-id"), request.value("x-plan")), (Some("ada"), Some("gold")));
    assert_eq!(request.value("x-else"), Some(""));
}

#[test]
fn a_cache_outlives_exchanges_follows_the_clock_and_is_bounded() {
    let mut sample = sample("cache");
    sample.cache_size(1000);
    let mut ask = |wait: u64, path: &str, long: usize| {
        let request = testing::get(path).header("x-long", "x".repeat(long));
        let request = sample.advance(Duration::from_millis(wait)).request(request).next();
        (request.value("x-first").unwrap().to_owned(), request.value("x-put").unwrap().to_owned())
    };
    assert_eq!(ask(0, "/a", 10), ("true /a".into(), "true".into()));
    assert_eq!(ask(99, "/b", 10), ("false /a".into(), "true".into()));
    assert_eq!(ask(1, "/c", 900), ("true /c".into(), "false".into()), "`first` has ended");
    assert_eq!(ask(0, "/d", 850), ("false /c".into(), "true".into()), "and now `first` has had to go");
    assert_eq!(ask(0, "/e", 10), ("true /e".into(), "true".into()));
    assert_eq!(sample.cached("last").map(|last| last.len()), Some(10));
}

#[test]
fn secrets_sign_and_are_seen_by_whom_they_are_granted_to() {
    assert_eq!(
        sample("sign").request(testing::get("/")).failure(),
        "no such secret is granted to the plugin"
    );
    // RFC 4231, test case 2.
    let signed = sample("sign").secret("webhook", "Jefe").request(testing::get("/")).next();
    assert_eq!(signed.value("x-tag"), Some("5bdc true"));
    assert_eq!((signed.value("x-revealed"), signed.value("x-equal")), (Some("Err(Denied)"), Some("false")));
    let seen = sample("sign").revealed_secret("webhook", "Jefe").request(testing::get("/")).next();
    assert_eq!(seen.value("x-revealed"), Some("Ok(\"Jefe\")"));
}

#[test]
fn tokens_are_what_the_test_says() {
    let mut sample = sample("token");
    sample.token("idp", "good", Ok(json!({ "sub": "ada" }))).token("idp", "old", Err(JwtError::Expired));
    let mut ask = |token: &str| sample.request(testing::get("/").header("x-token", token));
    assert_eq!(ask("good").next().value("x-sub"), Some("ada"));
    assert_eq!(ask("old").reply().status, 401);
    assert_eq!(ask("unheard-of").reply().status, 401);
    let failure = self::sample("token").request(testing::get("/").header("x-token", "good")).failure();
    assert_eq!(failure, "key set `idp`: no such key set is granted to the plugin");
}

#[test]
fn metrics_are_declared_and_counted() {
    let mut sample = sample("count");
    sample.request(testing::get("/")).next();
    sample.request(testing::get("/")).next();
    assert_eq!(sample.metric("seen", &["", "GET"]), [2.0, 2.0]);
    assert_eq!(sample.metric("waited", &[]), [0.5, 0.5]);
    assert_eq!(sample.metric("unheard_of", &[]), [0.0; 0]);
    let described = &sample.describe()["metrics"];
    let seen = json!({
        "name": "seen", "kind": "counter", "help": "Requests.", "unit": "", "labels": ["host", "method"], "buckets": [],
    });
    assert_eq!(described[0], seen);
    assert_eq!((&described[1]["unit"], &described[1]["buckets"]), (&json!("seconds"), &json!([0.1, 1.0])));
}

#[test]
fn time_and_chance_are_the_tests_own() {
    let ask = |seed: u64| {
        let mut sample = sample("chance");
        let request =
            sample.random_seed(seed).advance(Duration::from_millis(1500)).request(testing::get("/")).next();
        ["x-now", "x-monotonic", "x-id"].map(|name| request.value(name).unwrap().to_owned())
    };
    assert_eq!(ask(1)[..2], ["1767225601", "1.5s"]);
    assert_eq!(ask(1), ask(1));
    assert_ne!(ask(1)[2], ask(2)[2]);
    assert_eq!(ask(0)[2], "afcd1d7b39a820e2".to_owned() + &ask(0)[2][16..], "SplitMix64 from 0");
}

#[test]
fn an_exchange_is_timed_by_the_tests_clock() {
    let mut sample = sample("time");
    sample.advance(Duration::from_secs(5));
    let mut exchange = sample.exchange(testing::get("/")).upstream_took(Duration::from_micros(250));
    exchange.request().next();
    exchange.advance(Duration::from_millis(20));
    let response = exchange.response(testing::response(200)).next();
    assert_eq!(response.value("x-time"), Some("20ms Some(250µs)"));
    let response = sample.response(testing::response(200)).next();
    assert_eq!(response.value("x-time"), Some("0ns None"));
    assert_eq!(response.value("x-way"), Some("None 1 Some(\"192.0.2.2:80\")"));

    let mut exchange = sample.exchange(testing::get("/")).connect_took(Duration::from_micros(90));
    exchange.request().next();
    exchange.upstream("192.0.2.7:80").next();
    exchange.upstream("192.0.2.8:80").next();
    let response = exchange.response(testing::response(200)).next();
    assert_eq!(response.value("x-way"), Some("Some(90µs) 2 Some(\"192.0.2.8:80\")"));
}
