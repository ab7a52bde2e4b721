//! Does to a store what the path says: `/get/KEY`, `/set/KEY/VALUE`, `/incr/KEY/BY`, `/swap/KEY/OLD/NEW` (`-`:
//! absent), `/remove/KEY`; the store is `x-store`, the time to live `x-ttl` milliseconds.

use std::time::Duration;

use limen::kv::{self, KvError};
use limen::prelude::*;

struct Keeps;

#[limen::policy]
impl Keeps {
    fn configure() -> Result<Self> {
        ensure!(kv::store("sessions").get("a") == Err(KvError::Denied), "configure may look");
        Ok(Keeps)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let name = request.header("x-store").unwrap_or_else(|| "sessions".into());
        let mut store = kv::store(&name);
        if let Some(ttl) = request.header("x-ttl") {
            store = store.ttl(Duration::from_millis(ttl.parse().or_reply(400)?));
        }
        let path = request.path();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let told = match parts[..] {
            ["get", key] => store.get_text(key).map(|value| value.unwrap_or_else(|| "none".into())),
            ["set", key, value] => store.set(key, value).map(|()| "set".into()),
            ["long", key] => store.set(key, vec![0; 2 << 20]).map(|()| "set".into()),
            ["incr", key, by] => store.incr(key, by.parse().or_reply(400)?).map(|sum| sum.to_string()),
            ["swap", key, old, new] => {
                let old = Some(old.as_bytes()).filter(|old| old != b"-");
                store.swap(key, old, new).map(|done| done.to_string())
            }
            ["remove", key] => store.remove(key).map(|()| "removed".into()),
            ["spin", key] => loop {
                let _ = store.get(key);
            },
            _ => bail!("no such thing to do: {path}"),
        };
        let told = told.unwrap_or_else(|error| format!("{error:?}"));
        Ok(Reply::new(200).text(told).into())
    }
}
