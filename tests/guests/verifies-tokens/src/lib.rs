//! Answers by itself what becomes of the token in `authorization`, by the key set that `x-key-set` names:
//! 200 and its claims, or 401 and why not.

use limen::jwt;
use limen::prelude::*;

struct VerifiesTokens;

#[limen::policy]
impl VerifiesTokens {
    fn configure() -> Result<Self> {
        Ok(VerifiesTokens)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let token = request.header("authorization").or_reply(401)?;
        let token = token.strip_prefix("Bearer ").or_reply(401)?;
        let key_set = request.header("x-key-set").unwrap_or_else(|| "idp".into());
        Ok(match jwt::verify(&key_set, token) {
            Ok(claims) => {
                Reply::new(200).header("content-type", "application/json").body(claims.into_bytes())
            }
            Err(error) => Reply::new(401).header("x-error", format!("{error:?}")),
        }
        .into())
    }
}
