//! Computes for a while and then goes on: at the head of each request and at each piece of its body.

use limen::prelude::*;
use std::time::{Duration, Instant};

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// For how long, in microseconds.
    us: u64,
}

struct Burns {
    time: Duration,
}

#[limen::policy]
impl Burns {
    fn configure(config: Config) -> Result<Self> {
        Ok(Burns { time: Duration::from_micros(config.us) })
    }

    fn on_request(&mut self, _: &mut Request) -> Result<Flow> {
        self.burn();
        Ok(Flow::WantChunks)
    }

    fn on_request_chunk(&mut self, _: &Chunk) -> Result<ChunkFlow> {
        self.burn();
        Ok(ChunkFlow::Pass)
    }
}

impl Burns {
    fn burn(&self) {
        let begun = Instant::now();
        while begun.elapsed() < self.time {
            std::hint::black_box(());
        }
    }
}
