//! Calls itself without end: for `x-naughty: recurse` with something in its own memory at each call, so
//! that this ends first; for `recurse-deep` without, so that the gateway's stack does.

use limen::prelude::*;

struct Recurses;

#[limen::policy]
impl Recurses {
    fn configure() -> Result<Self> {
        Ok(Recurses)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let depth = match request.header("x-naughty").as_deref() {
            Some("recurse") => wider(1),
            Some("recurse-deep") => deeper(1),
            _ => return Ok(Flow::Next),
        };
        request.set_header("x-depth", &depth.to_string())?;
        Ok(Flow::Next)
    }
}

/// Not a tail call, and with something on the stack that has to be there.
#[inline(never)]
#[allow(unconditional_recursion, reason = "it is what this guest is for")]
fn wider(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    wider(depth + 1) + frame[(depth % 64) as usize]
}

/// Nor is this one, and no loop does the same.
#[inline(never)]
#[allow(unconditional_recursion, reason = "it is what this guest is for")]
fn deeper(depth: u64) -> u64 {
    deeper(depth + 1).rotate_left(3) ^ depth
}
