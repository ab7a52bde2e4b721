//! {{description}}

use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// What the upstream reads in `x-gate`.
    gate: String,
    /// Response headers that clients don't get.
    #[serde(default)]
    hide: Vec<String>,
}

struct Headers {
    config: Config,
}

#[limen::policy]
impl Headers {
    fn configure(config: Config) -> Result<Self> {
        ensure!(!config.gate.is_empty(), "gate: it is empty");
        Ok(Headers { config })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        request.set_header("x-gate", &self.config.gate)?;
        Ok(Flow::Next)
    }

    fn on_response(&mut self, response: &mut Response) -> Result<Flow> {
        for name in &self.config.hide {
            response.remove_header(name)?;
        }
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limen::testing::{self, Tested};

    fn policy() -> Tested<Headers> {
        testing::policy(json!({ "gate": "north", "hide": ["server"] })).unwrap()
    }

    #[test]
    fn the_upstream_reads_the_gate() {
        let request = policy().request(testing::get("/").header("x-gate", "forged")).next();
        assert_eq!(request.value("x-gate"), Some("north"));
    }

    #[test]
    fn clients_dont_read_what_is_hidden() {
        let response = testing::response(200).header("server", "secret/1.0").header("x-kept", "1");
        let response = policy().response(response).next();
        assert_eq!((response.value("server"), response.value("x-kept")), (None, Some("1")));
    }

    #[test]
    fn a_gate_needs_a_name() {
        assert!(testing::policy::<Headers>(json!({ "gate": "" })).is_err());
    }
}
