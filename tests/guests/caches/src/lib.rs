//! Answers by itself, from the cache: `GET` what is there, `PUT` the header `x-value` (of `x-length` times
//! that text) for `x-ttl` milliseconds, `POST` the same if there is nothing yet, `DELETE` it.

use std::time::Duration;

use limen::cache;
use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Said in every answer, to tell versions of the settings apart.
    #[serde(default)]
    mark: String,
}

struct Caches {
    mark: String,
}

#[limen::policy]
impl Caches {
    fn configure(config: Config) -> Result<Self> {
        Ok(Caches { mark: config.mark })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let key = request.path();
        let number = |name: &str| request.header(name).and_then(|text| text.parse().ok()).unwrap_or_default();
        let ttl = Duration::from_millis(number("x-ttl"));
        let value = request.header("x-value").unwrap_or_default().repeat(number("x-length").max(1) as usize);
        let reply = match &*request.method_text() {
            "PUT" => Reply::new(if cache::put(&key, value, ttl) { 200 } else { 413 }),
            "POST" => Reply::new(if cache::add(&key, value, ttl) { 201 } else { 409 }),
            "DELETE" => {
                cache::remove(&key);
                Reply::new(204)
            }
            _ => match cache::get(&key) {
                Some(value) => Reply::new(200).header("x-found", value.len().to_string()).body(value),
                None => Reply::new(404),
            },
        };
        Ok(reply.header("x-mark", self.mark.clone()).into())
    }
}
