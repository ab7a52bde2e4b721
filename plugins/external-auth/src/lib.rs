//! Asks a service of yours whether a request may pass; see README.md for how.

use std::time::Duration;

use limen::fetch::{self, Call};
use limen::prelude::*;

#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The upstream that is asked; the plugin must be granted it.
    upstream: String,
    /// The path that is asked for.
    #[serde(default = "root")]
    #[schemars(regex(pattern = "^/"))]
    path: String,
    /// The headers of the request that go along, if they are there.
    #[serde(default = "credentials")]
    send: Vec<String>,
    /// The headers of the answer that the request goes on with. What the client sent under these names is
    /// removed.
    #[serde(default)]
    take: Vec<String>,
    /// The headers of a refusal that the client gets.
    #[serde(default = "challenges")]
    show: Vec<String>,
    /// How long the answer may take, in milliseconds.
    #[serde(default = "half_a_second")]
    #[schemars(range(min = 1))]
    timeout_ms: u64,
}

fn root() -> String {
    "/".into()
}

fn credentials() -> Vec<String> {
    ["authorization", "cookie"].map(Into::into).into()
}

fn challenges() -> Vec<String> {
    ["www-authenticate", "location", "set-cookie", "content-type"].map(Into::into).into()
}

fn half_a_second() -> u64 {
    500
}

struct ExternalAuth {
    config: Config,
}

#[limen::policy]
impl ExternalAuth {
    fn configure(config: Config) -> Result<Self> {
        Ok(ExternalAuth { config })
    }

    fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
        let Config { upstream, take, show, .. } = &self.config;
        for name in take {
            request.remove_header(name)?;
        }
        let answer = self.question(request).send().context(format_args!("asking {upstream}"))?;
        match answer.status() {
            200..=299 => {
                for name in take {
                    if let Some(value) = answer.header(name) {
                        request.set_header(name, &value)?;
                    }
                }
                Ok(Flow::Next)
            }
            // It may want the client to log in first.
            status @ (301..=303 | 307 | 308 | 401 | 403) => {
                let mut reply = Reply::new(status);
                for name in show {
                    for value in answer.header_values(name) {
                        if let Ok(value) = String::from_utf8(value) {
                            reply = reply.header(name.clone(), value);
                        }
                    }
                }
                Ok(reply.body(answer.body()?).into())
            }
            status => bail!("{upstream} answered {status}, which says neither yes nor no"),
        }
    }

    /// What is asked: whose request it is, and what it is for.
    fn question(&self, request: &Request) -> Call {
        let Config { upstream, path, send, timeout_ms, .. } = &self.config;
        let target = match request.query() {
            Some(query) => format!("{}?{query}", request.path()),
            None => request.path(),
        };
        let mut call = fetch::get(upstream, path)
            .timeout(Duration::from_millis(*timeout_ms))
            .header("x-forwarded-method", request.method_text())
            .header("x-forwarded-host", request.authority())
            .header("x-forwarded-uri", target)
            .header("x-forwarded-for", limen::client::ip().to_string());
        for name in send {
            if let Some(value) = request.header(name) {
                call = call.header(name.clone(), value);
            }
        }
        call
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limen::fetch::FetchError;
    use limen::testing::{self, Tested};

    fn policy() -> Tested<ExternalAuth> {
        let settings = json!({ "upstream": "authz", "path": "/check", "take": ["x-user"] });
        testing::policy(settings).unwrap()
    }

    #[test]
    fn a_yes_lets_pass_with_what_the_service_says() {
        let mut policy = policy();
        policy.upstream("authz", |call| {
            assert_eq!((&*call.method, &*call.path), ("GET", "/check"));
            assert_eq!(call.value("authorization"), Some("Bearer ada"));
            assert_eq!(call.value("x-forwarded-uri"), Some("/a?b=c"));
            assert_eq!(call.value("x-secret"), None);
            Ok(testing::response(204).header("x-user", "ada").header("x-other", "1"))
        });
        let request = testing::get("/a?b=c").header("authorization", "Bearer ada").header("x-user", "root");
        let request = policy.request(request.header("x-secret", "1")).next();
        assert_eq!((request.value("x-user"), request.value("x-other")), (Some("ada"), None));
    }

    #[test]
    fn what_the_client_claims_is_removed_in_any_case() {
        let mut policy = policy();
        policy.upstream("authz", |_| Ok(testing::response(200)));
        let request = policy.request(testing::get("/").header("x-user", "root")).next();
        assert_eq!(request.value("x-user"), None);
    }

    #[test]
    fn a_no_is_what_the_client_gets() {
        let mut policy = policy();
        policy.upstream("authz", |_| {
            let answer = testing::response(401).header("www-authenticate", "Bearer");
            Ok(answer.header("x-inside", "1").body("log in first\n"))
        });
        let reply = policy.request(testing::get("/")).reply();
        assert_eq!((reply.status, &*reply.body_text()), (401, "log in first\n"));
        assert_eq!((reply.value("www-authenticate"), reply.value("x-inside")), (Some("Bearer"), None));
    }

    #[test]
    fn no_answer_is_a_failure() {
        let mut policy = policy();
        policy.upstream("authz", |_| Err(FetchError::TimedOut));
        assert!(policy.request(testing::get("/")).failure().contains("no answer in time"));
        policy.upstream("authz", |_| Ok(testing::response(500)));
        assert!(policy.request(testing::get("/")).failure().contains("authz answered 500"));
    }
}
