//! The policy that the benchmarks run, with the shape of an ordinary one: it reads two request
//! headers, sets one, and sets a response header.

use limen::prelude::*;

struct Rig;

#[limen::policy]
impl Rig {
    fn configure() -> Result<Self> {
        Ok(Rig)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        if request.header_equals("x-deny", "1") {
            return Ok(Reply::new(403).text("denied\n").into());
        }
        let agent = request.header("user-agent").unwrap_or_default();
        request.set_header("x-policy", &format!("seen-{}", agent.len()))?;
        Ok(Flow::Next)
    }

    fn on_response(&mut self, response: &mut Response) -> Result<Flow> {
        response.set_header("x-gw", "1")?;
        Ok(Flow::Next)
    }
}
