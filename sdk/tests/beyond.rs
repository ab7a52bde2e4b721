//! Calls, stores and ticks against the mock gateway: granted when a test says so, denied otherwise.

#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected should stop right there")]

use std::time::Duration;

use limen::fetch::{self, FetchError};
use limen::kv::{self, KvError};
use limen::prelude::*;
use limen::testing;

/// Fetches a table now and then, and answers from it.
struct Flags;

#[limen::policy]
impl Flags {
    fn configure() -> Result<Self> {
        Ok(Flags)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let flags = kv::store("flags");
        flags.incr("asked", 1)?;
        let seen = flags.ttl(Duration::from_secs(1)).swap("first", None, request.path())?;
        let table = flags.get_text("table")?.unwrap_or_default();
        Ok(Reply::new(200).text(format!("{table} {seen}")).into())
    }

    fn on_tick(&mut self) -> Result<()> {
        let calls = [fetch::get("flags", "/a"), fetch::post("flags", "/b").header("x-key", "1").body("?")];
        let mut table = String::new();
        for answer in fetch::send_all(&calls) {
            table.push_str(&answer?.text()?);
        }
        kv::store("flags").set("table", table)?;
        info!("refreshed");
        Ok(())
    }
}

#[test]
fn a_tick_refreshes_what_requests_find() {
    let mut flags = testing::policy::<Flags>(json!({})).unwrap();
    assert!(flags.request(testing::get("/")).failure().contains("not granted this store"));
    flags.no_store("flags");
    assert!(flags.request(testing::get("/")).failure().contains("no store of this name"));
    assert!(flags.tick().unwrap_err().to_string().contains("not granted this upstream"));

    flags.store("flags").upstream("flags", |call| match (&*call.method, &*call.path) {
        ("GET", "/a") => Ok(testing::response(200).body("one")),
        ("POST", "/b") if call.value("x-key") == Some("1") => {
            Ok(testing::response(200).body(call.body_text()))
        }
        _ => Err(FetchError::Broken),
    });
    assert_eq!(flags.request(testing::get("/")).reply().body_text(), " true");
    let log = flags.tick().unwrap();
    assert_eq!(log.iter().map(|line| &*line.message).collect::<Vec<_>>(), ["refreshed"]);
    assert_eq!(flags.calls().iter().map(|call| &*call.path).collect::<Vec<_>>(), ["/a", "/b"]);
    assert_eq!(flags.request(testing::get("/")).reply().body_text(), "one? false");
    assert_eq!(flags.stored("flags", "asked"), Some(&b"2"[..]));
    flags.advance(Duration::from_secs(2));
    assert_eq!(flags.stored("flags", "first"), None);
    assert_eq!(flags.request(testing::get("/")).reply().body_text(), "one? true");
}

struct Odd;

#[limen::policy]
impl Odd {
    fn configure() -> Result<Self> {
        Ok(Odd)
    }

    fn on_request(&mut self, _: &mut Request) -> Result<Flow> {
        let ends = |call: fetch::Call| call.send().err();
        let get = || fetch::get("here", "/");
        ensure!(ends(get().header("host", "x")) == Some(FetchError::Invalid), "host");
        ensure!(ends(get().header("via", "x")) == Some(FetchError::Invalid), "via");
        ensure!(ends(get().body(vec![0; 2 << 20])) == Some(FetchError::TooLarge), "body");
        ensure!(ends(fetch::get("here", "no-slash")) == Some(FetchError::Invalid), "path");
        ensure!(ends(fetch::Call::new("here", "CONNECT", "/")) == Some(FetchError::Invalid), "method");
        ensure!(get().send()?.body() == Err(FetchError::TooLarge), "answer");
        let store = kv::store("here");
        store.set("word", "x")?;
        ensure!(store.incr("word", 1) == Err(KvError::WrongType), "incr");
        ensure!(store.set(&"k".repeat(2000), "x") == Err(KvError::TooLarge), "key");
        store.remove("word")?;
        ensure!(store.get("word")?.is_none(), "removed");
        Ok(Flow::Next)
    }
}

#[test]
fn the_mock_keeps_the_gateways_bounds() {
    let mut odd = testing::policy::<Odd>(json!({})).unwrap();
    odd.store("here").upstream("here", |_| Ok(testing::response(200).body(vec![0; 2 << 20])));
    odd.request(testing::get("/")).next();
}
