//! A rate limiter: one request in ten seconds and two more at once for each client, by
//! `counters.take`. Without the grant `counters = true` it must be refused at load.

use std::time::Duration;

use limen::counters::Limit;
use limen::prelude::*;

const LIMIT: Limit = Limit::new(1, Duration::from_secs(10)).burst(2);

struct Ungranted;

#[limen::policy]
impl Ungranted {
    fn configure() -> Result<Self> {
        Ok(Ungranted)
    }

    fn on_request(&mut self, _request: &mut Request) -> Result<Flow> {
        let taken = LIMIT.take(&limen::client::ip_text(), 1);
        let reply = if taken.allowed {
            Reply::new(200)
        } else {
            Reply::from(429).header("retry-after", taken.retry_after_seconds().to_string())
        };
        Ok(reply.header("x-remaining", taken.remaining.to_string()).into())
    }
}
