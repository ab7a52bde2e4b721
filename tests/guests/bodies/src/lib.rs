//! Changes the bodies of both directions as its settings say, and marks the heads beside them.

use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    request: Option<Change>,
    response: Option<Change>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Change {
    /// Letters to upper case.
    Upper,
    /// Put this at the end.
    Append(String),
    /// Read it, and leave it as it is.
    Keep,
}

impl Change {
    /// The new body, if there is one.
    fn of(&self, mut body: Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Change::Upper => body.make_ascii_uppercase(),
            Change::Append(end) => body.extend_from_slice(end.as_bytes()),
            Change::Keep => return None,
        }
        Some(body)
    }
}

struct Bodies {
    config: Config,
}

#[limen::policy]
impl Bodies {
    fn configure(config: Config) -> Result<Self> {
        Ok(Bodies { config })
    }

    fn on_request(&mut self, _request: &mut Request) -> Result<Flow> {
        Ok(if self.config.request.is_some() { Flow::WantBody } else { Flow::Next })
    }

    fn on_request_body(&mut self, request: &mut Request, body: &mut RequestBody) -> Result<Flow> {
        request.set_header("x-body-size", &body.size().to_string())?;
        if let Some(new) = self.config.request.as_ref().and_then(|change| change.of(body.bytes())) {
            body.replace(&new)?;
        }
        Ok(Flow::Next)
    }

    fn on_response(&mut self, _response: &mut Response) -> Result<Flow> {
        Ok(if self.config.response.is_some() { Flow::WantBody } else { Flow::Next })
    }

    fn on_response_body(&mut self, response: &mut Response, body: &mut ResponseBody) -> Result<Flow> {
        response.set_header("x-body-size", &body.size().to_string())?;
        if let Some(new) = self.config.response.as_ref().and_then(|change| change.of(body.bytes())) {
            body.replace(&new)?;
        }
        Ok(Flow::Next)
    }
}
