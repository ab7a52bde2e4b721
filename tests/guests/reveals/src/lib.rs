//! Tells the upstream the secret that the header `x-secret` names, as its credentials.

use limen::prelude::*;
use limen::secrets;

struct Reveals;

#[limen::policy]
impl Reveals {
    fn configure() -> Result<Self> {
        Ok(Reveals)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        match secrets::reveal(&request.header("x-secret").unwrap_or_default()) {
            Ok(secret) => request.set_header("authorization", &format!("Bearer {secret}"))?,
            Err(error) => request.set_header("x-error", &format!("{error:?}"))?,
        }
        Ok(Flow::Next)
    }
}
