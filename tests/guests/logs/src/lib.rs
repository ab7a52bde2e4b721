//! Writes one line for each exchange that has ended: `ended GET /path 200`, or `local` after it if the
//! gateway gave the answer.

use limen::prelude::*;

struct Logs;

#[limen::policy]
impl Logs {
    fn configure() -> Result<Self> {
        Ok(Logs)
    }

    fn on_log(&mut self, request: &Request, response: &Response) {
        let local = if response.is_local() { " local" } else { "" };
        info!("ended {} {} {}{local}", request.method_text(), request.path(), response.status());
    }
}
