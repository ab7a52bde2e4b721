//! Signs each attempt at an upstream: what it sees of it becomes a header. `x-naughty` says what else.

use limen::prelude::*;

struct Signs {
    attempts: u32,
}

#[limen::policy]
impl Signs {
    fn configure() -> Result<Self> {
        Ok(Signs { attempts: 0 })
    }

    fn on_upstream(&mut self, request: &mut Request, attempt: &Attempt) -> Result<Flow> {
        self.attempts += 1;
        ensure!(!request.has_header("x-signature"), "it was signed before");
        match request.header("x-naughty").as_deref() {
            Some("reply") => return Ok(Reply::new(418).text("not signed\n").into()),
            Some("reply-later") if attempt.number() > 1 => return Ok(Reply::new(418).text("once\n").into()),
            Some("fail") => bail!("told to fail"),
            Some("panic") => panic!("asked to panic"),
            Some("path") => request.set_path("/elsewhere")?,
            _ => {}
        }
        let query = request.query().unwrap_or_default();
        let signature = format!(
            "{} {} {} {}?{query} at {} for the {}. time",
            attempt.number(),
            request.method_text(),
            request.authority(),
            request.path(),
            attempt.endpoint(),
            self.attempts
        );
        request.set_header("x-signature", &signature)?;
        request.remove_header("x-secret")?;
        Ok(Flow::Next)
    }

    fn on_response(&mut self, request: &Request, response: &mut Response) -> Result<Flow> {
        response.set_header("x-attempts", &self.attempts.to_string())?;
        response.set_header("x-saw", &format!("{} {}", request.path(), request.has_header("x-signature")))?;
        Ok(Flow::Next)
    }
}
