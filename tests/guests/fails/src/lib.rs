//! Stages edits and then fails, in the phase that its settings name: none of the edits may be seen.

use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    phase: Phase,
    /// The reason that goes to the log.
    #[serde(default = "default_reason")]
    reason: String,
}

fn default_reason() -> String {
    "told to fail".into()
}

#[derive(Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Phase {
    Request,
    RequestBody,
    Response,
    ResponseBody,
    Log,
}

struct Fails {
    config: Config,
}

#[limen::policy]
impl Fails {
    fn configure(config: Config) -> Result<Self> {
        Ok(Fails { config })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        if self.config.phase == Phase::RequestBody {
            return Ok(Flow::WantBody);
        }
        request.set_header("x-staged", "request")?;
        request.set_path("/staged")?;
        self.fail_in(Phase::Request)
    }

    fn on_request_body(&mut self, request: &mut Request, body: &mut RequestBody) -> Result<Flow> {
        request.set_header("x-staged", "request-body")?;
        body.replace(b"staged")?;
        self.fail_in(Phase::RequestBody)
    }

    fn on_response(&mut self, response: &mut Response) -> Result<Flow> {
        if self.config.phase == Phase::ResponseBody {
            return Ok(Flow::WantBody);
        }
        response.set_header("x-staged", "response")?;
        response.set_status(299)?;
        self.fail_in(Phase::Response)
    }

    fn on_response_body(&mut self, response: &mut Response, body: &mut ResponseBody) -> Result<Flow> {
        response.set_header("x-staged", "response-body")?;
        body.replace(b"staged")?;
        self.fail_in(Phase::ResponseBody)
    }

    fn on_log(&mut self, _request: &Request, _response: &Response) -> Result<()> {
        self.fail_in(Phase::Log).map(drop)
    }

    fn fail_in(&self, phase: Phase) -> Result<Flow> {
        ensure!(self.config.phase != phase, "{}", self.config.reason);
        Ok(Flow::Next)
    }
}
