//! A policy with every hook, run as its author would run it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed")]

use std::time::Duration;

use limen::counters::Limit;
use limen::prelude::*;
use limen::testing::{self, Tested, Verdict};
use limen::{EditError, Level, bag, client, log};

#[derive(Deserialize, JsonSchema)]
struct Config {
    #[serde(default)]
    say: Say,
    name: Option<String>,
}

/// Which thing to do; every test asks for its own.
#[derive(Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Say {
    #[default]
    Next,
    Body,
    BodyTwice,
    Reply,
    BadReply,
    BadInput,
    Fail,
    Edits,
    TooMany,
    Reads,
    Counts,
    Bag,
    Logs,
}

struct Sample {
    config: Config,
    seen: u32,
}

#[limen::policy]
impl Sample {
    fn configure(config: Config) -> Result<Self> {
        ensure!(config.name.as_deref() != Some(""), "name: empty");
        Ok(Sample { config, seen: 0 })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        self.seen += 1;
        request.set_header("x-seen", &self.seen.to_string())?;
        match self.config.say {
            Say::Next => {}
            Say::Body | Say::BodyTwice => return Ok(Flow::WantBody),
            Say::Reply => {
                let reply = Reply::new(418).header("x-tea", "green").json(&json!({ "tea": true }))?;
                return Ok(reply.into());
            }
            Say::BadReply => return Ok(Reply::new(200).header("content-length", "3").into()),
            Say::BadInput => {
                let _: u32 =
                    request.header("x-number").or_reply(400)?.parse().or_reply(Reply::new(422).text("no"))?;
            }
            Say::Fail => bail!("told to fail"),
            Say::Edits => edits(request)?,
            Say::TooMany => (0..300).try_for_each(|_| request.add_header("x-many", "1"))?,
            Say::Reads => reads(request),
            Say::Counts => {
                let taken = Limit::per_second(2).burst(1).take("key", 1);
                request.set_header("x-taken", &format!("{taken:?}"))?;
                limen::counters::incr("seen", 2, Duration::from_secs(1));
            }
            Say::Bag => {
                bag::put("mine", "1")?;
                request.set_header("x-theirs", &bag::get("theirs").unwrap_or_default())?;
                bag::put("theirs", "2")?;
            }
            Say::Logs => {
                debug!("not wanted");
                info!("from {} at {}", client::ip(), limen::route::name());
                assert!(!log::enabled(Level::Debug));
            }
        }
        Ok(Flow::Next)
    }

    fn on_request_body(&mut self, request: &mut Request, body: &mut RequestBody) -> Result<Flow> {
        if self.config.say == Say::BodyTwice {
            return Ok(Flow::WantBody);
        }
        let value: limen::Value = body.json().or_reply(400)?;
        request.set_header("x-size", &body.size().to_string())?;
        body.replace_json(&json!({ "was": value }))?;
        Ok(Flow::Next)
    }

    fn on_response(&mut self, request: &Request, response: &mut Response) -> Result<Flow> {
        response.set_header("x-method", &request.method_text())?;
        response.set_header("x-seen", &self.seen.to_string())?;
        ensure!(self.config.say != Say::Fail, "told to fail");
        Ok(if self.config.say == Say::Body { Flow::WantBody } else { Flow::Next })
    }

    fn on_response_body(&mut self, response: &mut Response, body: &mut ResponseBody) -> Result<Flow> {
        response.set_status(203)?;
        let text = body.text()?.to_uppercase();
        body.replace(text.as_bytes())?;
        Ok(Flow::Next)
    }

    fn on_log(&mut self, _: &Request, response: &Response) {
        info!("ended {}", response.status());
    }
}

fn edits(request: &mut Request) -> Result<()> {
    for owned in ["Host", "content-length", "Connection", "transfer-encoding", "te", "upgrade"] {
        let error = request.set_header(owned, "1").unwrap_err().to_string();
        assert_eq!(error, format!("set header `{owned}`: {}", EditError::Forbidden));
        assert!(request.remove_header(owned).is_err());
    }
    for (name, value) in [("", "a"), ("a b", "a"), ("a", "b\r\nc: d"), ("a", " b"), ("a", "\0")] {
        assert!(request.set_header(name, value).is_err(), "{name:?}: {value:?}");
    }
    assert!(request.set_header("x-long", &"a".repeat(64 * 1024 + 1)).is_err());
    assert!(request.set_path("no-slash").is_err());
    assert!(request.set_path("/a?b").is_err());
    request.set_path("/new")?;
    request.set_query(Some("q=1"))?;
    request.set_method("PATCH")?;
    request.set_authority("other.test:81")?;
    request.add_header("x-list", "2")?;
    assert_eq!(request.header_values("x-list"), [b"1", b"2"]);
    request.remove_header("x-gone")?;
    assert_eq!(request.path(), "/new", "getters see what was set");
    Ok(())
}

fn reads(request: &Request) {
    assert_eq!(request.method(), limen::Method::Get);
    assert_eq!(format!("{} {}", request.method(), request.version()), "GET HTTP/1.1");
    assert_eq!(request.authority(), "example.test");
    assert_eq!(request.path(), "/a%20b");
    assert_eq!(request.query().as_deref(), Some("x=1+2%2F&y&x=3"));
    assert_eq!(request.query_param("x").as_deref(), Some("1 2/"));
    assert_eq!(request.query_param("y").as_deref(), Some(""));
    assert_eq!(request.query_param("z"), None);
    assert_eq!(request.path_param("id").as_deref(), Some("7"));
    assert_eq!(request.cookie("b").as_deref(), Some("2"));
    assert_eq!(request.header("X-A").as_deref(), Some("1"));
    assert_eq!(request.header("x-raw"), None);
    assert_eq!(request.header_bytes("x-raw").as_deref(), Some(&b"\xff"[..]));
    assert!(request.has_header("x-raw") && !request.has_header("x-none"));
    assert!(request.header_equals("x-a", "1") && !request.header_equals("x-a", "2"));
    assert_eq!(request.header_many(["x-a", "x-none"]), [Some("1".into()), None]);
    let headers: Vec<_> = request.headers().collect();
    assert_eq!(headers[0], ("x-a".to_owned(), b"1".to_vec()));
    assert_eq!(headers.len(), 4); // with the one that the hook itself has set
}

fn sample(say: &str) -> Tested<Sample> {
    testing::policy(json!({ "say": say })).unwrap()
}

#[test]
fn every_exchange_has_an_isolate_of_its_own_and_all_its_hooks_have_the_same() {
    let mut sample = sample("next");
    for _ in 0..2 {
        let mut exchange = sample.exchange(testing::get("/"));
        assert_eq!(exchange.request().next().value("x-seen"), Some("1"));
        let response = exchange.response(testing::response(200)).next();
        assert_eq!(response.value("x-seen"), Some("1"));
        assert_eq!(response.value("x-method"), Some("GET"));
        assert_eq!(exchange.log()[0].message, "ended 200");
    }
}

#[test]
fn bodies_are_read_and_replaced() {
    let mut sample = sample("body");
    let mut exchange = sample.exchange(testing::post("/", "[1]"));
    let outcome = exchange.request();
    assert!(outcome.buffered);
    let request = outcome.next();
    assert_eq!(request.body_json().unwrap(), json!({ "was": [1] }));
    assert_eq!(request.value("content-length"), Some("11"));
    assert_eq!(request.value("x-size"), Some("3"));
    let response = exchange.response(testing::response(200).header("etag", "old").body("ab")).next();
    assert_eq!((response.status, &*response.body_text(), response.value("etag")), (203, "AB", None));
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let mut sample = sample("body");
    let reason = sample.body_limit(4).request(testing::post("/", "[1]")).failure();
    assert_eq!(reason, "replace the body by 11 bytes: too large, or too many edits in one hook");
}

#[test]
fn asking_twice_for_the_body_is_a_failure() {
    assert!(sample("body-twice").request(testing::post("/", "")).failure().contains("already had"));
}

#[test]
fn a_reply_drops_the_edits() {
    let mut sample = sample("reply");
    let mut exchange = sample.exchange(testing::get("/"));
    let reply = exchange.request().reply();
    assert_eq!((reply.status, reply.value("x-tea")), (418, Some("green")));
    assert_eq!(reply.body_json().unwrap(), json!({ "tea": true }));
    assert_eq!(reply.value("content-type"), Some("application/json"));
    let response = exchange.response(reply).next();
    assert_eq!(response.status, 418);
}

#[test]
fn a_reply_that_cannot_be_sent_is_a_failure() {
    let reason = sample("bad-reply").request(testing::get("/")).failure();
    assert!(reason.starts_with("reply: header `content-length`"), "{reason}");
}

#[test]
fn bad_input_is_answered_and_failing_is_not() {
    let mut sample = sample("bad-input");
    let reply = sample.request(testing::get("/")).reply();
    assert_eq!(reply.body_json().unwrap(), json!({ "title": "Bad Request", "status": 400 }));
    assert_eq!(sample.request(testing::get("/").header("x-number", "a")).reply().status, 422);
    sample.request(testing::get("/").header("x-number", "5")).next();
}

#[test]
fn a_failure_leaves_no_trace() {
    let mut sample = sample("fail");
    let mut exchange = sample.exchange(testing::get("/"));
    assert_eq!(exchange.request().failure(), "told to fail");
    let outcome = exchange.response(testing::response(200).header("x-seen", "upstream"));
    assert_eq!(outcome.verdict, Verdict::Fail("told to fail".into()));
}

#[test]
fn edits_are_checked_as_by_the_gateway() {
    let request = testing::get("/old?q=0").header("x-list", "1").header("x-gone", "1");
    let request = sample("edits").request(request).next();
    assert_eq!(
        (&*request.method, &*request.authority, &*request.path, request.query.as_deref()),
        ("PATCH", "other.test:81", "/new", Some("q=1"))
    );
    assert_eq!(request.value("x-gone"), None);
    assert!(sample("too-many").request(testing::get("/")).failure().contains("too many edits"));
}

#[test]
fn everything_of_a_request_can_be_read() {
    let request = testing::get("/a%20b?x=1+2%2F&y&x=3")
        .path_param("id", "7")
        .header("x-a", "1")
        .header("cookie", "a=1; b=\"2\"")
        .header("x-raw", b"\xff");
    sample("reads").request(request).next();
}

#[test]
fn counters_outlive_exchanges_and_follow_the_clock() {
    let mut sample = sample("counts");
    let mut taken = |wait: u64| {
        let request = sample.advance(Duration::from_millis(wait)).request(testing::get("/")).next();
        request.value("x-taken").unwrap().to_owned()
    };
    assert_eq!(taken(0), "Taken { allowed: true, remaining: 1, retry_after_ms: 0 }");
    assert_eq!(taken(0), "Taken { allowed: true, remaining: 0, retry_after_ms: 0 }");
    assert_eq!(taken(100), "Taken { allowed: false, remaining: 0, retry_after_ms: 400 }");
    assert_eq!(taken(400), "Taken { allowed: true, remaining: 0, retry_after_ms: 0 }");
    assert_eq!(sample.counter("seen"), Some(8));
    assert_eq!(sample.advance(Duration::from_secs(1)).counter("seen"), None);
}

#[test]
fn a_key_of_the_bag_belongs_to_whoever_put_it_first() {
    let mut sample = sample("bag");
    let mut exchange = sample.exchange(testing::get("/")).bag("theirs", "0");
    assert_eq!(exchange.request().failure(), "bag: `theirs` belongs to another policy, or the bag is full");
    assert_eq!(exchange.bag_value("mine"), None, "dropped with the edits");
    let mut exchange = sample.exchange(testing::get("/"));
    exchange.request().next();
    assert_eq!(exchange.bag_value("mine"), Some(&b"1"[..]));
}

#[test]
fn lines_are_in_the_log_if_they_are_wanted() {
    let mut sample = sample("logs");
    let outcome = sample.log_level(Level::Info).route("orders", None).request(testing::get("/"));
    let lines: Vec<_> = outcome.log.iter().map(|line| (line.level, &*line.message)).collect();
    assert_eq!(lines, [(Level::Info, "from 192.0.2.1 at orders")]);
}

#[test]
fn settings_are_checked() {
    let refusal = |settings| testing::policy::<Sample>(settings).unwrap_err().to_string();
    assert_eq!(refusal(json!({ "name": "" })), "name: empty");
    assert!(refusal(json!({ "say": 1 })).starts_with("settings: "), "{}", refusal(json!({ "say": 1 })));
    let described = sample("next").describe();
    assert_eq!(described["name"], "limen-sdk");
    assert_eq!(described["configSchema"]["additionalProperties"], false);
    assert_eq!(described["configSchema"]["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

/// Upper case piece by piece, `end` after the body; signs attempts, and maps a status in trailers.
struct Passing {
    pieces: usize,
}

#[limen::policy]
impl Passing {
    fn configure() -> Result<Self> {
        Ok(Passing { pieces: 0 })
    }

    fn on_request(&mut self, _: &mut Request) -> Result<Flow> {
        Ok(Flow::WantChunks)
    }

    fn on_request_chunk(&mut self, request: &Request, chunk: &Chunk) -> Result<ChunkFlow> {
        self.pieces += 1;
        match &**chunk {
            b"rest" => Ok(ChunkFlow::PassRest),
            b"reply" => Ok(Reply::new(403).into()),
            b"fail" => bail!("at {}", request.path()),
            b"long" => Ok(ChunkFlow::Emit(vec![0; 2 * 1024 * 1024])),
            _ if chunk.is_last() => Ok(ChunkFlow::Emit(format!("end {}", self.pieces).into_bytes())),
            bytes => Ok(ChunkFlow::Emit(bytes.to_ascii_uppercase())),
        }
    }

    fn on_request_trailers(&mut self, trailers: &mut Trailers) -> Result<Flow> {
        trailers.add("x-seen", &trailers.get("x-sum").unwrap_or_default())?;
        Ok(Flow::Next)
    }

    fn on_upstream(&mut self, request: &mut Request, attempt: &Attempt) -> Result<Flow> {
        let number = attempt.number();
        ensure!(!request.has_header("x-signature"), "signed twice");
        request.set_header("x-signature", &format!("{number} {}", attempt.endpoint()))?;
        match request.set_path("/elsewhere") {
            Ok(()) => bail!("only headers can be changed here"),
            Err(_) => Ok(Flow::Next),
        }
    }

    fn on_response(&mut self, _: &mut Response) -> Result<Flow> {
        Ok(Flow::WantChunks)
    }

    fn on_response_chunk(&mut self, chunk: &Chunk) -> Result<ChunkFlow> {
        match chunk.bytes() {
            b"reply" => Ok(Reply::new(403).into()),
            b"drop" => Ok(ChunkFlow::Drop),
            _ => Ok(ChunkFlow::Pass),
        }
    }

    fn on_response_trailers(&mut self, trailers: &mut Trailers) -> Result<Flow> {
        if trailers.get("grpc-status").as_deref() == Some("11") {
            trailers.set("grpc-status", "3")?;
        }
        assert!(trailers.set("content-type", "text/plain").is_err());
        Ok(Flow::Next)
    }
}

#[test]
fn pieces_of_bodies_go_through_the_policy() {
    let mut passing = testing::policy::<Passing>(json!({})).unwrap();
    let outcome = passing.request(testing::post("/a", "").chunks(["one, ", "two, "]));
    assert!(outcome.streamed && !outcome.buffered);
    assert_eq!(outcome.next().body_text(), "ONE, TWO, end 3");
    let told = passing.request(testing::post("/a", "one")).next();
    assert_eq!((told.body_text().as_str(), told.value("content-length")), ("ONEend 2", None));
    assert_eq!(
        passing.request(testing::post("/a", "").chunks(["a", "rest", "b"])).next().body_text(),
        "Arestb"
    );
    assert_eq!(passing.request(testing::post("/a", "").chunks(["a", "reply"])).reply().status, 403);
    assert_eq!(passing.request(testing::post("/a", "fail")).failure(), "at /a");
    assert!(passing.request(testing::post("/a", "long")).failure().contains("emit 2097152 bytes"));
    let long = passing.request(testing::post("/a", vec![b'a'; 100_000])).next();
    assert_eq!(long.body_text().trim_start_matches('A'), "end 3", "64 KiB at a time");
}

#[test]
fn a_response_can_be_answered_until_something_of_it_has_gone_on() {
    let mut passing = testing::policy::<Passing>(json!({})).unwrap();
    let response = || testing::response(200).header("etag", "\"1\"");
    let passed = passing.response(response().chunks(["a", "drop", "b"])).next();
    assert_eq!((passed.body_text().as_str(), passed.value("etag")), ("ab", None));
    assert_eq!(passing.response(response().chunks(["drop", "reply"])).reply().status, 403);
    passing.response(response().chunks(["a", "reply"])).failure();
}

#[test]
fn trailers_are_seen_where_there_are_any() {
    let mut passing = testing::policy::<Passing>(json!({})).unwrap();
    let request = passing.request(testing::post("/a", "x").trailer("x-sum", "7")).next();
    assert_eq!(request.trailers, [("x-sum".into(), b"7".to_vec()), ("x-seen".into(), b"7".to_vec())]);
    assert!(passing.request(testing::post("/a", "x")).next().trailers.is_empty());
    let response = passing.response(testing::response(200).trailer("grpc-status", "11")).next();
    assert_eq!(response.trailers, [("grpc-status".into(), b"3".to_vec())]);
}

#[test]
fn each_attempt_begins_with_the_head_as_it_was() {
    let mut passing = testing::policy::<Passing>(json!({})).unwrap();
    let mut exchange = passing.exchange(testing::get("/a"));
    exchange.request().next();
    for signature in ["1 a:1", "2 b:1"] {
        let request = exchange.upstream(&signature[2..]).next();
        assert_eq!((request.value("x-signature"), &*request.path), (Some(signature), "/a"));
    }
}
