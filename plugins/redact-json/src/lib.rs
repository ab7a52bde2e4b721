//! Removes fields from JSON responses; see README.md.

use std::collections::BTreeSet;

use limen::prelude::*;
use serde_json::Value;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Names of fields that are removed wherever they are.
    #[serde(default)]
    keys: BTreeSet<String>,
    /// JSON Pointers (RFC 6901) to single fields, such as `/user/email`. `*` stands for every element of
    /// an array or every field of an object.
    #[serde(default)]
    pointers: Vec<String>,
}

struct RedactJson {
    keys: BTreeSet<String>,
    pointers: Vec<Vec<String>>,
}

#[limen::policy]
impl RedactJson {
    fn configure(config: Config) -> Result<Self> {
        ensure!(
            !config.keys.is_empty() || !config.pointers.is_empty(),
            "neither `keys` nor `pointers` names a field, so that nothing would be removed"
        );
        let pointers = config.pointers.iter().map(|pointer| parse(pointer)).collect::<Result<_>>()?;
        Ok(RedactJson { keys: config.keys, pointers })
    }

    fn on_response(&mut self, response: &mut Response) -> Result<Flow> {
        let json = response.header("content-type").is_some_and(|kind| is_json(&kind));
        Ok(if json { Flow::WantBody } else { Flow::Next })
    }

    fn on_response_body(&mut self, _response: &mut Response, body: &mut ResponseBody) -> Result<Flow> {
        let bytes = body.bytes();
        if bytes.is_empty() {
            return Ok(Flow::Next); // the answer to a HEAD, or a 304
        }
        let mut value: Value = serde_json::from_slice(&bytes).context("the response is not JSON")?;
        if self.redact(&mut value) {
            body.replace_json(&value)?;
        }
        Ok(Flow::Next)
    }

    /// Whether anything was removed.
    fn redact(&self, value: &mut Value) -> bool {
        let mut removed = !self.keys.is_empty() && self.remove_keys(value);
        for pointer in &self.pointers {
            removed |= remove_at(value, pointer);
        }
        removed
    }

    fn remove_keys(&self, value: &mut Value) -> bool {
        match value {
            Value::Array(elements) => {
                elements.iter_mut().fold(false, |removed, element| self.remove_keys(element) | removed)
            }
            Value::Object(fields) => {
                let before = fields.len();
                fields.retain(|name, _| !self.keys.contains(name));
                let removed = fields.len() < before;
                fields.values_mut().fold(removed, |removed, field| self.remove_keys(field) | removed)
            }
            _ => false,
        }
    }
}

/// `application/json` and the types that end in `+json`, with any parameters.
fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind.ends_with("+json")
}

/// The names of a pointer's way, unescaped.
fn parse(pointer: &str) -> Result<Vec<String>> {
    let Some(way) = pointer.strip_prefix('/') else {
        bail!("pointers: `{pointer}` does not start with `/`");
    };
    Ok(way.split('/').map(|name| name.replace("~1", "/").replace("~0", "~")).collect())
}

/// Remove what a pointer leads to; whether it was there. An element of an array becomes null, so that
/// the others keep their places.
fn remove_at(value: &mut Value, pointer: &[String]) -> bool {
    let Some((name, rest)) = pointer.split_first() else { return false };
    match value {
        Value::Object(fields) if rest.is_empty() && name == "*" => {
            let any = !fields.is_empty();
            fields.clear();
            any
        }
        Value::Object(fields) if rest.is_empty() => fields.shift_remove(name).is_some(),
        Value::Object(fields) if name == "*" => {
            fields.values_mut().fold(false, |removed, field| remove_at(field, rest) | removed)
        }
        Value::Object(fields) => fields.get_mut(name).is_some_and(|field| remove_at(field, rest)),
        Value::Array(elements) => {
            let chosen = elements.iter_mut().enumerate();
            let chosen = chosen.filter(|(index, _)| name == "*" || *name == index.to_string());
            chosen.fold(false, |removed, (_, element)| {
                let gone = if rest.is_empty() { !element.take().is_null() } else { remove_at(element, rest) };
                gone | removed
            })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limen::testing::{self, Tested};

    fn policy() -> Tested<RedactJson> {
        testing::policy(
            json!({ "keys": ["password"], "pointers": ["/user/e~1mail", "/cards/*/number", "/codes/1"] }),
        )
        .unwrap()
    }

    #[test]
    fn removes_keys_anywhere_and_pointers_where_they_lead() {
        let body = json!({
            "password": "x",
            "user": { "e/mail": "a@b", "name": "Ada", "old": [{ "password": "y" }] },
            "cards": [{ "number": "1", "kind": "v" }, { "number": "2" }],
            "codes": [1, 2, 3],
            "e/mail": "stays",
        });
        let outcome = policy().response(testing::response(200).json(&body));
        assert!(outcome.buffered);
        let response = outcome.next();
        let expected = json!({
            "user": { "name": "Ada", "old": [{}] },
            "cards": [{ "kind": "v" }, {}],
            "codes": [1, null, 3],
            "e/mail": "stays",
        });
        assert_eq!(response.body_json().unwrap(), expected);
        assert_eq!(response.value("content-length"), Some(&*response.body.len().to_string()));
    }

    #[test]
    fn what_has_no_such_field_stays_byte_for_byte() {
        let body = "{ \"name\":  \"Ada\" }";
        let response = testing::response(200).header("content-type", "application/problem+json").body(body);
        assert_eq!(policy().response(response).next().body_text(), body);
    }

    #[test]
    fn what_stays_keeps_its_order_and_its_digits() {
        let body = "{\"z\":12345678901234567890.10,\"password\":1,\"b\":1e400,\"a\":1}";
        let response = testing::response(200).header("content-type", "application/json").body(body);
        let redacted = "{\"z\":12345678901234567890.10,\"b\":1e+400,\"a\":1}";
        assert_eq!(policy().response(response).next().body_text(), redacted);
    }

    #[test]
    fn other_content_is_not_even_buffered() {
        for response in [
            testing::response(200).header("content-type", "text/html").body("{\"password\":1}"),
            testing::response(200).body("{\"password\":1}"),
        ] {
            let outcome = policy().response(response.clone());
            assert!(!outcome.buffered);
            assert_eq!(outcome.next(), response);
        }
    }

    #[test]
    fn parameters_of_the_content_type_do_not_matter() {
        let response = testing::response(200)
            .header("content-type", "Application/JSON; charset=utf-8")
            .body("{\"password\":1,\"a\":2}");
        assert_eq!(policy().response(response).next().body_text(), "{\"a\":2}");
    }

    #[test]
    fn an_empty_body_passes() {
        let response = testing::response(304).header("content-type", "application/json");
        assert_eq!(policy().response(response.clone()).next(), response);
    }

    #[test]
    fn broken_json_fails_and_does_not_pass() {
        let response =
            testing::response(200).header("content-type", "application/json").body("{\"password\":");
        let reason = policy().response(response).failure();
        assert!(reason.starts_with("the response is not JSON: "), "{reason}");
    }

    #[test]
    fn settings_that_remove_nothing_are_refused() {
        let refusal = |settings| testing::policy::<RedactJson>(settings).unwrap_err().to_string();
        assert!(refusal(json!({})).starts_with("neither `keys` nor `pointers`"));
        assert_eq!(refusal(json!({ "pointers": ["a"] })), "pointers: `a` does not start with `/`");
    }
}
