//! {{description}}

use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The longest body that a response may have, in bytes.
    limit: u64,
}

struct Stream {
    config: Config,
    /// What went through of this response so far.
    sent: u64,
}

#[limen::policy]
impl Stream {
    fn configure(config: Config) -> Result<Self> {
        Ok(Stream { config, sent: 0 })
    }

    fn on_response(&mut self, _response: &mut Response) -> Result<Flow> {
        // A reused isolate comes from another exchange.
        self.sent = 0;
        Ok(Flow::WantChunks)
    }

    /// Each piece of the body as it comes: the client has the ones before already. The last one may be empty.
    fn on_response_chunk(&mut self, chunk: &Chunk) -> Result<ChunkFlow> {
        self.sent += chunk.bytes().len() as u64;
        ensure!(self.sent <= self.config.limit, "the response has more than {} bytes", self.config.limit);
        Ok(ChunkFlow::Pass)
    }

    fn on_log(&mut self, request: &Request, _response: &Response) {
        info!("{}: {} bytes", request.path(), self.sent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limen::testing::{self, Tested};

    fn policy() -> Tested<Stream> {
        testing::policy(json!({ "limit": 10 })).unwrap()
    }

    #[test]
    fn a_short_response_passes_as_it_is() {
        let response = policy().response(testing::response(200).body("0123456789")).next();
        assert_eq!(response.body_text(), "0123456789");
    }

    #[test]
    fn a_long_one_is_cut_off() {
        let failure = policy().response(testing::response(200).body("0123456789x")).failure();
        assert!(failure.contains("more than 10 bytes"), "{failure}");
    }
}
