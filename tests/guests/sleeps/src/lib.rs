//! Sleeps for a minute for `x-naughty: sleep`: no CPU is used, so only the wall limit ends it. Its log
//! hook writes a line for each exchange.

use std::time::Duration;

use limen::prelude::*;

struct Sleeps;

#[limen::policy]
impl Sleeps {
    fn configure() -> Result<Self> {
        Ok(Sleeps)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        if request.header_equals("x-naughty", "sleep") {
            std::thread::sleep(Duration::from_secs(60));
        }
        Ok(Flow::Next)
    }

    fn on_log(&mut self, request: &Request, _response: &Response) {
        info!("slept through {}", request.path());
    }
}
