//! Loops for ever in `configure`.

use limen::prelude::*;

struct ConfigureLoops;

#[limen::policy]
impl ConfigureLoops {
    fn configure() -> Result<Self> {
        let mut turns = 0_u64;
        loop {
            turns = std::hint::black_box(turns.wrapping_add(1));
            if turns == u64::MAX {
                return Ok(ConfigureLoops);
            }
        }
    }

    fn on_request(&mut self, _request: &mut Request) -> Result<Flow> {
        Ok(Flow::Next)
    }
}
