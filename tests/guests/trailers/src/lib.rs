//! Reads and changes trailers: `grpc-status` 11 becomes 3, and what was there is told in others.

use limen::prelude::*;

struct TrailerWriter;

#[limen::policy]
impl TrailerWriter {
    fn configure() -> Result<Self> {
        Ok(TrailerWriter)
    }

    fn on_request_trailers(&mut self, request: &Request, trailers: &mut Trailers) -> Result<Flow> {
        let sum = trailers.get("x-sum").unwrap_or_default();
        info!("request trailers of {}: {sum}, {} in all", request.path(), trailers.all().count());
        if sum == "wrong" {
            return Ok(Reply::new(422).text("wrong sum\n").into());
        }
        Ok(Flow::Next)
    }

    fn on_response_trailers(&mut self, trailers: &mut Trailers) -> Result<Flow> {
        let status = trailers.get("grpc-status");
        ensure!(status.as_deref() != Some("99"), "told to fail");
        if status.as_deref() == Some("11") {
            trailers.set("grpc-status", "3")?;
            trailers.add("x-status", "11")?;
            trailers.remove("grpc-message")?;
        }
        if trailers.set("content-type", "text/plain").is_ok() || trailers.set("te", "trailers").is_ok() {
            bail!("these belong into the head");
        }
        Ok(Flow::Next)
    }
}
