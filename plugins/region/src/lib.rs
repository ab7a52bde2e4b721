//! Adds headers from a table, chosen by where a request comes from; see README.md.

use std::collections::BTreeMap;

use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The request header that names the region: usually one that a CDN or load balancer in front
    /// sets, such as `cf-ipcountry`.
    #[serde(default = "default_source")]
    source: String,
    /// What each region adds, by the value of that header. Letter case does not matter.
    regions: BTreeMap<String, Headers>,
    /// For requests from anywhere else, and for those without the header.
    #[serde(default)]
    default: Headers,
}

fn default_source() -> String {
    "x-country".into()
}

/// Headers to set, by their names.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Headers {
    /// On the request, before it goes to the upstream.
    #[serde(default)]
    request: BTreeMap<String, String>,
    /// On the response, before it goes to the client.
    #[serde(default)]
    response: BTreeMap<String, String>,
}

struct Region {
    source: String,
    /// By the region's name in upper case.
    regions: BTreeMap<String, Headers>,
    default: Headers,
    /// The region of this exchange, from the request on.
    current: Option<String>,
}

#[limen::policy]
impl Region {
    fn configure(config: Config) -> Result<Self> {
        let mut regions = BTreeMap::new();
        for (name, headers) in config.regions {
            let key = name.trim().to_ascii_uppercase();
            ensure!(!key.is_empty(), "regions: one has an empty name");
            ensure!(regions.insert(key, headers).is_none(), "regions: `{name}` is there twice");
        }
        Ok(Region { source: config.source, regions, default: config.default, current: None })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let value = request.header(&self.source);
        self.current = value.map(|region| region.trim().to_ascii_uppercase());
        for (name, value) in &self.headers().request {
            request.set_header(name, value)?;
        }
        Ok(Flow::Next)
    }

    fn on_response(&mut self, response: &mut Response) -> Result<Flow> {
        for (name, value) in &self.headers().response {
            response.set_header(name, value)?;
        }
        Ok(Flow::Next)
    }

    fn headers(&self) -> &Headers {
        self.current.as_ref().and_then(|region| self.regions.get(region)).unwrap_or(&self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limen::testing::{self, Tested};

    fn policy() -> Tested<Region> {
        testing::policy(json!({
            "source": "cf-ipcountry",
            "regions": {
                "DE": { "request": { "x-region": "eu" }, "response": { "x-served-for": "eu", "vary": "cf-ipcountry" } },
                "us": { "request": { "x-region": "us" } },
            },
            "default": { "request": { "x-region": "world" }, "response": { "x-served-for": "world" } },
        }))
        .unwrap()
    }

    #[test]
    fn the_table_decides_in_both_directions() {
        let mut policy = policy();
        let mut exchange = policy.exchange(testing::get("/").header("CF-IPCountry", "de"));
        let request = exchange.request().next();
        assert_eq!(request.value("x-region"), Some("eu"));
        let response = exchange.response(testing::response(200).header("vary", "accept")).next();
        assert_eq!(response.value("x-served-for"), Some("eu"));
        assert_eq!(response.value("vary"), Some("cf-ipcountry"));
    }

    #[test]
    fn letter_case_of_the_table_does_not_matter() {
        let request = policy().request(testing::get("/").header("cf-ipcountry", "US")).next();
        assert_eq!(request.value("x-region"), Some("us"));
    }

    #[test]
    fn others_get_the_default() {
        for request in [testing::get("/"), testing::get("/").header("cf-ipcountry", "FR")] {
            let mut policy = policy();
            let mut exchange = policy.exchange(request);
            assert_eq!(exchange.request().next().value("x-region"), Some("world"));
            assert_eq!(exchange.response(testing::response(200)).next().value("x-served-for"), Some("world"));
        }
    }

    #[test]
    fn what_a_client_claims_is_replaced() {
        let request = testing::get("/").header("x-region", "admin").header("cf-ipcountry", "de");
        let request = policy().request(request).next();
        assert_eq!(request.headers.iter().filter(|(name, _)| name == "x-region").count(), 1);
        assert_eq!(request.value("x-region"), Some("eu"));
    }

    #[test]
    fn a_header_of_the_gateway_fails_with_its_name() {
        let settings = json!({ "regions": {}, "default": { "request": { "content-length": "1" } } });
        let mut policy = testing::policy::<Region>(settings).unwrap();
        let reason = policy.request(testing::get("/")).failure();
        assert_eq!(reason, "set header `content-length`: owned by the gateway, a policy cannot change it");
    }

    #[test]
    fn a_region_that_is_there_twice_is_refused() {
        let error = testing::policy::<Region>(json!({ "regions": { "DE": {}, "de": {} } })).unwrap_err();
        assert_eq!(error.to_string(), "regions: `de` is there twice");
    }
}
