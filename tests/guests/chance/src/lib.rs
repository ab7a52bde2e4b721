//! Adds to responses where the time went (`x-since-us`, `x-upstream-us`), the time (`x-now`, `x-monotonic` in both hooks) and a random number (`x-id`).

use limen::prelude::*;
use limen::{clock, random, timing};

struct Chance {
    begun: Option<std::time::Duration>,
}

#[limen::policy]
impl Chance {
    fn configure() -> Result<Self> {
        Ok(Chance { begun: None })
    }

    fn on_request(&mut self, _request: &mut Request) -> Result<Flow> {
        self.begun = Some(clock::monotonic());
        Ok(Flow::Next)
    }

    fn on_response(&mut self, response: &mut Response) -> Result<Flow> {
        let took = clock::monotonic().checked_sub(self.begun.unwrap_or_default());
        response.set_header("x-took-us", &took.map_or(0, |took| took.as_micros()).to_string())?;
        response.set_header("x-now", &clock::unix_seconds().to_string())?;
        response.set_header("x-since-us", &timing::since_received().as_micros().to_string())?;
        let upstream =
            timing::upstream().map_or_else(|| "none".to_owned(), |took| took.as_micros().to_string());
        response.set_header("x-upstream-us", &upstream)?;
        let connect =
            timing::connect().map_or_else(|| "none".to_owned(), |took| took.as_micros().to_string());
        response.set_header("x-connect-us", &connect)?;
        response.set_header("x-attempts", &timing::attempts().to_string())?;
        response.set_header("x-endpoint", &timing::endpoint().unwrap_or_default())?;
        response.set_header("x-id", &random::id())?;
        Ok(Flow::Next)
    }
}
