//! Traps in the hook that `x-naughty` names: `panic` and `unreachable` in `on_request`,
//! `panic-response` in `on_response`, `panic-log` in `on_log`. An edit before the trap shows whether it is
//! dropped.

use limen::prelude::*;

struct Traps;

#[limen::policy]
impl Traps {
    fn configure() -> Result<Self> {
        Ok(Traps)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        request.set_header("x-before-trap", "request")?;
        match request.header("x-naughty").as_deref() {
            Some("panic") => panic!("asked to panic in on_request"),
            Some("unreachable") => unreachable(),
            _ => Ok(Flow::Next),
        }
    }

    fn on_response(&mut self, request: &Request, response: &mut Response) -> Result<Flow> {
        response.set_header("x-before-trap", "response")?;
        if request.header_equals("x-naughty", "panic-response") {
            panic!("asked to panic in on_response");
        }
        Ok(Flow::Next)
    }

    fn on_log(&mut self, request: &Request, _response: &Response) {
        if request.header_equals("x-naughty", "panic-log") {
            panic!("asked to panic in on_log");
        }
    }
}

/// A trap without a word: no panic message reaches the log.
fn unreachable() -> ! {
    #[cfg(target_family = "wasm")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_family = "wasm"))]
    panic!("unreachable");
}
