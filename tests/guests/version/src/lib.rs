//! Says which build it is in both directions, so that a swap in the middle of an exchange would show:
//! `x-version-in` on the request and in the bag, `x-version` and `x-version-request` (what the request hook of
//! this exchange said) on the response. Built with `GUEST_VERSION=7 cargo build ...`; the setting
//! `version` is another source.

use limen::prelude::*;

const BUILT: &str = match option_env!("GUEST_VERSION") {
    Some(version) => version,
    None => "0",
};

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Said instead of the version it was built with.
    version: Option<String>,
}

struct Version {
    version: String,
}

#[limen::policy]
impl Version {
    fn configure(config: Config) -> Result<Self> {
        Ok(Version { version: config.version.unwrap_or_else(|| BUILT.into()) })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        limen::bag::put("version", &self.version)?;
        request.set_header("x-version-in", &self.version)?;
        Ok(Flow::Next)
    }

    fn on_response(&mut self, response: &mut Response) -> Result<Flow> {
        response.set_header("x-version", &self.version)?;
        response.set_header("x-version-request", &limen::bag::get("version").unwrap_or_default())?;
        Ok(Flow::Next)
    }
}
