//! {{description}}

use limen::prelude::*;
use limen::crypto;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The tokens that open the gate.
    #[schemars(extend("minItems" = 1))]
    tokens: Vec<String>,
}

struct Auth {
    config: Config,
}

#[limen::policy]
impl Auth {
    fn configure(config: Config) -> Result<Self> {
        ensure!(config.tokens.iter().all(|token| token.len() >= 8), "tokens: one is shorter than 8 bytes");
        Ok(Auth { config })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let credentials = request.header("authorization").unwrap_or_default();
        let Some(token) = credentials.strip_prefix("Bearer ") else {
            return Ok(refusal("a bearer token is needed").into());
        };
        if !self.knows(token) {
            return Ok(refusal("the token is not known").into());
        }
        // The upstream has no use for it.
        request.remove_header("authorization")?;
        Ok(Flow::Next)
    }

    /// Compares with every token to its end, so that the time it takes tells nothing.
    fn knows(&self, given: &str) -> bool {
        self.config.tokens.iter().fold(false, |known, token| crypto::equal(token, given) | known)
    }
}

fn refusal(detail: &str) -> Reply {
    Reply::new(401).problem(detail).header("www-authenticate", "Bearer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use limen::testing::{self, Tested};

    fn policy() -> Tested<Auth> {
        testing::policy(json!({ "tokens": ["first-token", "second-token"] })).unwrap()
    }

    #[test]
    fn a_known_token_passes_and_stays_here() {
        let request = testing::get("/").header("authorization", "Bearer second-token");
        assert_eq!(policy().request(request).next().value("authorization"), None);
    }

    #[test]
    fn all_else_is_refused() {
        for wrong in ["", "second-token", "Basic second-token", "Bearer ", "Bearer second-toke"] {
            let reply = policy().request(testing::get("/").header("authorization", wrong)).reply();
            assert_eq!(reply.status, 401, "{wrong:?}");
            assert_eq!(reply.value("www-authenticate"), Some("Bearer"));
        }
        assert_eq!(policy().request(testing::get("/")).reply().status, 401);
    }
}
