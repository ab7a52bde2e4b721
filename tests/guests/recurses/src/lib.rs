//! Calls itself without end for `x-naughty: recurse`.

use limen::prelude::*;

struct Recurses;

#[limen::policy]
impl Recurses {
    fn configure() -> Result<Self> {
        Ok(Recurses)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        if request.header_equals("x-naughty", "recurse") {
            let depth = deeper(1);
            request.set_header("x-depth", &depth.to_string())?;
        }
        Ok(Flow::Next)
    }
}

/// Not a tail call, and with something on the stack that has to be there.
#[inline(never)]
#[allow(unconditional_recursion, reason = "it is what this guest is for")]
fn deeper(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    deeper(depth + 1) + frame[(depth % 64) as usize]
}
