//! Tells the upstream whom a policy before it has named.

use limen::consumer;
use limen::prelude::*;

struct ReadsConsumer;

#[limen::policy]
impl ReadsConsumer {
    fn configure() -> Result<Self> {
        Ok(ReadsConsumer)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        request.set_header("x-consumer", &consumer::id().unwrap_or_default())?;
        request.set_header("x-plan", &consumer::attribute("plan").unwrap_or_default())?;
        Ok(Flow::Next)
    }
}
