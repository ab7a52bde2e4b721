//! Says that the consumer is whom the header `x-key` names, with its plan; and fails or replies after that if
//! it is told to.

use limen::consumer;
use limen::prelude::*;

struct NamesConsumer;

#[limen::policy]
impl NamesConsumer {
    fn configure() -> Result<Self> {
        Ok(NamesConsumer)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let Some(name) = request.header("x-key") else { return Ok(Flow::Next) };
        consumer::set(&name)?;
        consumer::set_attribute("plan", "gold")?;
        ensure!(!request.has_header("x-fail"), "told to fail");
        if request.has_header("x-reply") {
            return Ok(Reply::new(429).into());
        }
        Ok(Flow::Next)
    }

    fn on_response(&mut self, response: &mut Response) -> Result<Flow> {
        let late = consumer::set("too late").is_err();
        response.set_header("x-late", if late { "refused" } else { "taken" })?;
        Ok(Flow::Next)
    }
}
