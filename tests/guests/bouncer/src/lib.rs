use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    password: String,
}

struct Bouncer {
    config: Config,
}

#[limen::policy]
impl Bouncer {
    fn configure(config: Config) -> Result<Self> {
        Ok(Bouncer { config })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        if request.header_equals("x-password", &self.config.password) {
            return Ok(Flow::Next);
        }
        Ok(Reply::new(403).text("not tonight\n").into())
    }
}
