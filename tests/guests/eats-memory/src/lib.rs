//! Takes memory without end for `x-naughty: eat`.

use limen::prelude::*;

struct EatsMemory;

#[limen::policy]
impl EatsMemory {
    fn configure() -> Result<Self> {
        Ok(EatsMemory)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let mut meals: Vec<Vec<u8>> = Vec::new();
        while request.header_equals("x-naughty", "eat") {
            meals.push(std::hint::black_box(vec![1; 1024 * 1024]));
        }
        Ok(Flow::Next)
    }
}
