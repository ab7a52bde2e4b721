//! Lets requests pass that carry a known API key; see README.md for what it does to them.

use std::collections::BTreeMap;

use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The header that carries the key.
    #[serde(default = "default_header")]
    header: String,
    /// The key of each consumer, by the consumer's name.
    #[schemars(extend("minProperties" = 1))]
    keys: BTreeMap<String, String>,
    /// A request header that tells the upstream the consumer's name. One that the client sent is
    /// replaced.
    consumer_header: Option<String>,
}

fn default_header() -> String {
    "x-api-key".into()
}

struct ApiKey {
    config: Config,
    /// The answer to a request without a key, and to one with a wrong key.
    missing: Reply,
    unknown: Reply,
}

#[limen::policy]
impl ApiKey {
    fn configure(config: Config) -> Result<Self> {
        ensure!(!config.keys.is_empty(), "keys: there is none, so that no request could pass");
        for (consumer, key) in &config.keys {
            ensure!(!key.is_empty(), "keys: that of `{consumer}` is empty");
            let same = config.keys.iter().find(|(other, same)| *other != consumer && *same == key);
            if let Some((other, _)) = same {
                bail!("keys: `{consumer}` and `{other}` have the same");
            }
        }
        let challenge = format!("ApiKey header=\"{}\"", config.header);
        let refuse =
            |detail: &str| Reply::new(401).problem(detail).header("www-authenticate", challenge.clone());
        Ok(ApiKey {
            missing: refuse(&format!("an API key is needed, in the header `{}`", config.header)),
            unknown: refuse("the API key is not known"),
            config,
        })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let Some(key) = request.header_bytes(&self.config.header) else {
            return Ok(self.missing.clone().into());
        };
        let Some(consumer) = self.consumer(&key) else {
            return Ok(self.unknown.clone().into());
        };
        request.remove_header(&self.config.header)?;
        if let Some(header) = &self.config.consumer_header {
            request.set_header(header, consumer)?;
        }
        Ok(Flow::Next)
    }

    /// Whose key it is. Compares with every key to its end, so that the time it takes tells nothing
    /// about how much of a guess was right.
    fn consumer(&self, given: &[u8]) -> Option<&str> {
        let mut found = None;
        for (consumer, key) in &self.config.keys {
            if same(key.as_bytes(), given) {
                found = Some(consumer.as_str());
            }
        }
        found
    }
}

/// Equality in a time that depends on the lengths alone.
fn same(key: &[u8], given: &[u8]) -> bool {
    let differences = key.iter().zip(given).fold(0, |bits, (a, b)| std::hint::black_box(bits | (a ^ b)));
    differences == 0 && key.len() == given.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use limen::testing::{self, Tested};

    fn policy() -> Tested<ApiKey> {
        let keys = json!({ "ada": "key-of-ada", "bob": "key-of-bob" });
        testing::policy(json!({ "keys": keys, "consumer_header": "x-consumer" })).unwrap()
    }

    #[test]
    fn a_known_key_passes_and_stays_here() {
        let request = testing::get("/").header("X-Api-Key", "key-of-bob").header("x-consumer", "ada");
        let request = policy().request(request).next();
        assert_eq!(request.value("x-consumer"), Some("bob"));
        assert_eq!(request.value("x-api-key"), None);
    }

    #[test]
    fn without_a_key_the_answer_says_where_it_belongs() {
        let reply = policy().request(testing::get("/")).reply();
        assert_eq!(reply.status, 401);
        assert_eq!(reply.value("www-authenticate"), Some("ApiKey header=\"x-api-key\""));
        assert_eq!(reply.value("content-type"), Some("application/problem+json"));
        assert!(reply.body_text().contains("`x-api-key`"), "{}", reply.body_text());
    }

    #[test]
    fn a_wrong_key_is_refused() {
        for wrong in ["", "key-of-", "key-of-ada2", "key-of-eve"] {
            let reply = policy().request(testing::get("/").header("x-api-key", wrong)).reply();
            assert_eq!(reply.status, 401, "{wrong:?}");
        }
        assert_eq!(policy().request(testing::get("/").header("x-api-key", b"\xff")).reply().status, 401);
    }

    #[test]
    fn another_header_can_carry_it() {
        let settings = json!({ "header": "authorization", "keys": { "ada": "secret" } });
        let mut policy = testing::policy::<ApiKey>(settings).unwrap();
        let request = policy.request(testing::get("/").header("authorization", "secret")).next();
        assert_eq!(request.headers, []);
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        let refusal = |settings| testing::policy::<ApiKey>(settings).unwrap_err().to_string();
        assert_eq!(refusal(json!({ "keys": {} })), "keys: there is none, so that no request could pass");
        assert_eq!(refusal(json!({ "keys": { "ada": "" } })), "keys: that of `ada` is empty");
        assert_eq!(
            refusal(json!({ "keys": { "ada": "k", "bob": "k" } })),
            "keys: `ada` and `bob` have the same"
        );
    }

    #[test]
    fn the_schema_allows_no_other_settings() {
        let schema = &policy().describe()["configSchema"];
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(schema["required"], json!(["keys"]));
    }
}
