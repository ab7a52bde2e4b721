//! {{description}}

use limen::prelude::*;
use limen::serde_json::{Map, Value};

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Fields that the JSON object of a request must have.
    required: Vec<String>,
}

struct Body {
    config: Config,
}

#[limen::policy]
impl Body {
    fn configure(config: Config) -> Result<Self> {
        Ok(Body { config })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        // Only those are waited for; all others stream on.
        let is_json = request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
        Ok(if is_json { Flow::WantBody } else { Flow::Next })
    }

    fn on_request_body(&mut self, request: &mut Request, body: &mut RequestBody) -> Result<Flow> {
        let object: Map<String, Value> = limen::serde_json::from_slice(&body.bytes()).or_reply(400)?;
        if let Some(missing) = self.config.required.iter().find(|&name| !object.contains_key(name)) {
            return Ok(Reply::new(422).problem(&format!("the field `{missing}` is missing")).into());
        }
        request.set_header("x-fields", &object.len().to_string())?;
        Ok(Flow::Next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limen::testing::{self, Tested};

    fn policy() -> Tested<Body> {
        testing::policy(json!({ "required": ["name"] })).unwrap()
    }

    #[test]
    fn a_whole_object_passes() {
        let request = testing::post("/", "").json(&json!({ "name": "Ada", "age": 36 }));
        assert_eq!(policy().request(request).next().value("x-fields"), Some("2"));
    }

    #[test]
    fn an_object_without_the_field_is_answered() {
        let reply = policy().request(testing::post("/", "").json(&json!({ "age": 36 }))).reply();
        assert_eq!(reply.status, 422);
        assert!(reply.body_text().contains("`name`"), "{}", reply.body_text());
    }

    #[test]
    fn what_is_no_object_is_the_clients_mistake() {
        for wrong in ["", "{", "[]", "7"] {
            let request = testing::post("/", wrong).header("content-type", "application/json");
            assert_eq!(policy().request(request).reply().status, 400, "{wrong:?}");
        }
    }

    #[test]
    fn other_bodies_are_not_looked_at() {
        policy().request(testing::post("/", "text").header("content-type", "text/plain")).next();
    }
}
