//! Refuses in `configure` what a schema cannot: the gateway must show this reason to the operator.

use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The reason to refuse with; without it all is well.
    refuse: Option<String>,
    /// Panic instead of refusing.
    #[serde(default)]
    panic: bool,
}

struct ConfigureRefuses;

#[limen::policy]
impl ConfigureRefuses {
    fn configure(config: Config) -> Result<Self> {
        if config.panic {
            panic!("asked to panic in configure");
        }
        if let Some(reason) = config.refuse {
            bail!("{reason}");
        }
        Ok(ConfigureRefuses)
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        request.set_header("x-policy", "configure-refuses")?;
        Ok(Flow::Next)
    }
}
