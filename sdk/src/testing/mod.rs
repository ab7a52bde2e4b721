//! Run a policy natively, under plain `cargo test`, against a mock of the gateway.
//!
//! ```
//! use limen::prelude::*;
//! use limen::testing;
//!
//! struct Greeter { greeting: String }
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Config { greeting: String }
//!
//! #[limen::policy]
//! impl Greeter {
//!     fn configure(config: Config) -> Result<Self> { Ok(Greeter { greeting: config.greeting }) }
//!
//!     fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
//!         let name = request.query_param("name").or_reply(400)?;
//!         request.set_header("x-greeting", &format!("{}, {name}", self.greeting))?;
//!         Ok(Flow::Next)
//!     }
//! }
//!
//! let mut greeter = testing::policy::<Greeter>(json!({ "greeting": "hello" })).unwrap();
//!
//! let request = greeter.request(testing::get("/?name=Ada")).next();
//! assert_eq!(request.value("x-greeting"), Some("hello, Ada"));
//!
//! let reply = greeter.request(testing::get("/")).reply();
//! assert_eq!(reply.status, 400);
//! ```
//!
//! The mock keeps the gateway's promises as `wit/` writes them down: an isolate for each exchange,
//! edits taken or dropped by how the hook ended, headers that a policy cannot change, limits of sizes. It
//! has no limits of CPU, memory and time, and a panic is a panic of the test.

mod consumer;
mod exchange;
mod message;
mod outcome;

use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use crate::fetch::FetchError;
use crate::host::mock::{self, Process};
use crate::jwt::JwtError;
use crate::{__private as glue, Level, Policy, Result};
pub use consumer::Consumer;
pub use exchange::Exchange;
pub use message::{Request, Response, get, post, request, response};
pub use outcome::{Line, Outcome, Verdict};

/// What a client's certificate says, as [`crate::client_certificate`] tells it.
#[derive(Debug, Clone, Default)]
pub struct ClientCertificate {
    pub subject: String,
    pub issuer: String,
    pub serial: String,
    pub fingerprint: String,
    pub dns_names: Vec<String>,
    pub uris: Vec<String>,
    pub emails: Vec<String>,
    pub addresses: Vec<String>,
}

/// A policy with these settings, attached to a mock gateway. Errors: `configure` refuses the settings, or
/// they do not have the shape of its `Config`.
pub fn policy<P: Policy>(settings: Value) -> Result<Tested<P>> {
    let mut tested = Tested { process: Process::new(), policy: std::marker::PhantomData };
    tested.process.settings = settings;
    tested.process.metrics = P::METRICS;
    tested.isolate()?;
    Ok(tested)
}

/// A policy attached to a mock gateway.
///
/// Every exchange has an isolate of its own, as with the gateway's default; counters, the cache, and what the
/// methods here set, outlive it.
pub struct Tested<P> {
    process: Process,
    policy: std::marker::PhantomData<fn() -> P>,
}

impl<P: Policy> Tested<P> {
    /// Run the request's phases: `on_request`, and `on_request_body` if it asks for the body.
    pub fn request(&mut self, request: Request) -> Outcome<Request> {
        self.exchange(request).request()
    }

    /// Run the response's phases for an upstream's response to `GET /`.
    pub fn response(&mut self, response: Response) -> Outcome<Response> {
        self.exchange(get("/")).response(response)
    }

    /// Begin an exchange, to run its phases one by one in one isolate.
    pub fn exchange(&mut self, request: Request) -> Exchange<'_, P> {
        Exchange::begin(self, request)
    }

    /// What `describe` tells the gateway: `name`, `version`, `description`, `configSchema`.
    pub fn describe(&self) -> Value {
        serde_json::from_str(&glue::describe::<P>()).unwrap_or_default()
    }

    /// The clock, which counters and the cache go by as well, moves on so much. Tests begin on 2026-01-01T00:00:00Z.
    pub fn advance(&mut self, time: Duration) -> &mut Self {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now = &mut self.process.counters.now_ms;
        *now = now.saturating_add(millis);
        self
    }

    /// The policy is granted this upstream, which answers so.
    ///
    /// ```
    /// # use limen::{fetch, prelude::*, testing};
    /// # struct Asks;
    /// # #[limen::policy]
    /// # impl Asks {
    /// #     fn configure() -> Result<Self> { Ok(Asks) }
    /// #     fn on_request(&mut self, request: &mut Request) -> Result<Flow> {
    /// #         let answer = fetch::get("authz", "/check").header("x-path", request.path()).send()?;
    /// #         if answer.status() == 204 { Ok(Flow::Next) } else { Ok(Reply::from(403).into()) }
    /// #     }
    /// # }
    /// let mut asks = testing::policy::<Asks>(json!({})).unwrap();
    /// asks.upstream("authz", |call| {
    ///     Ok(testing::response(if call.value("x-path") == Some("/open") { 204 } else { 403 }))
    /// });
    /// asks.request(testing::get("/open")).next();
    /// assert_eq!(asks.request(testing::get("/closed")).reply().status, 403);
    /// assert_eq!(asks.calls().len(), 2);
    /// ```
    pub fn upstream(
        &mut self,
        name: &str,
        answer: impl FnMut(&Request) -> Result<Response, FetchError> + 'static,
    ) -> &mut Self {
        self.process.calls.upstreams.insert(name.into(), Box::new(answer));
        self
    }

    /// The calls that were made so far, each with the name of its upstream as its authority.
    pub fn calls(&self) -> &[Request] {
        &self.process.calls.made
    }

    /// The policy is granted this store.
    pub fn store(&mut self, name: &str) -> &mut Self {
        self.process.stores.granted.entry(name.into()).or_default();
        self
    }

    /// The gateway has no store of this name. (Others it has; those of [`store`](Self::store) are granted.)
    pub fn no_store(&mut self, name: &str) -> &mut Self {
        self.process.stores.missing.push(name.into());
        self
    }

    /// What a store that it is granted has for a key.
    pub fn stored(&self, store: &str, key: &str) -> Option<&[u8]> {
        let (value, ends) = self.process.stores.granted.get(store)?.get(key)?;
        ends.is_none_or(|ends| self.process.counters.now_ms < ends).then_some(value)
    }

    /// Run `on_tick` in an isolate of its own. Answers the lines it wrote. Errors: its own.
    pub fn tick(&mut self) -> Result<Vec<Line>> {
        let mut policy = self.isolate()?;
        let mut outside = mock::Exchange::new();
        let ended = mock::enter(&mut self.process, &mut outside, || glue::on_tick(&mut policy));
        ended.map(|()| outside.log).map_err(crate::Error::msg)
    }

    /// The value of a counter.
    pub fn counter(&self, key: &str) -> Option<i64> {
        self.process.counters.get(key)
    }

    /// What is in the cache.
    pub fn cached(&mut self, key: &str) -> Option<Vec<u8>> {
        self.process.cache.get(key, self.process.counters.now_ms)
    }

    /// `size` of the cache. At first it is 16 MiB.
    pub fn cache_size(&mut self, bytes: usize) -> &mut Self {
        self.process.cache.size = bytes;
        self
    }

    /// What was counted or observed of a metric with these values of its labels, in the order of their declaration.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Vec<f64> {
        let counted = self.process.counted.iter();
        counted
            .filter(|(known, values, _)| *known == name && values == labels)
            .map(|(_, _, value)| *value)
            .collect()
    }

    /// Random numbers go on from here; at first from 0.
    pub fn random_seed(&mut self, seed: u64) -> &mut Self {
        self.process.random = seed;
        self
    }

    /// The plugin is granted this secret, to sign with.
    pub fn secret(&mut self, name: &str, value: impl Into<Vec<u8>>) -> &mut Self {
        let secret = mock::secrets::Secret { value: value.into(), previous: None, revealed: false };
        self.process.secrets.insert(name.into(), secret);
        self
    }

    /// A secret of [`secret`](Self::secret) has replaced this one a moment ago.
    pub fn previous_secret(&mut self, name: &str, value: impl Into<Vec<u8>>) -> &mut Self {
        if let Some(secret) = self.process.secrets.get_mut(name) {
            secret.previous = Some(value.into());
        }
        self
    }

    /// The plugin is granted this secret, to see it.
    pub fn revealed_secret(&mut self, name: &str, value: impl Into<Vec<u8>>) -> &mut Self {
        let secret = mock::secrets::Secret { value: value.into(), previous: None, revealed: true };
        self.process.secrets.insert(name.into(), secret);
        self
    }

    /// The plugin is granted this key set, which makes this of a token. Other tokens are malformed.
    pub fn token(
        &mut self,
        key_set: &str,
        token: &str,
        claims: std::result::Result<Value, JwtError>,
    ) -> &mut Self {
        self.process.tokens.entry(key_set.into()).or_default().insert(token.into(), claims);
        self
    }

    /// The next exchanges are with this client. At first it is 192.0.2.1.
    pub fn client_ip(&mut self, address: impl Into<IpAddr>) -> &mut Self {
        self.process.client_ip = address.into();
        self
    }

    /// The next exchanges are over TLS, of this version (`TLSv1.3`) and for this server name.
    pub fn tls(&mut self, version: &str, sni: Option<&str>) -> &mut Self {
        self.process.tls_version = Some(version.into());
        self.process.sni = sni.map(Into::into);
        self
    }

    /// The next exchanges are with a client that showed this certificate.
    pub fn client_certificate(&mut self, certificate: ClientCertificate) -> &mut Self {
        self.process.certificate = Some(certificate);
        self
    }

    /// The next exchanges are on this route, which leads to this upstream.
    pub fn route(&mut self, name: &str, upstream: Option<&str>) -> &mut Self {
        self.process.route = name.into();
        self.process.upstream = upstream.map(Into::into);
        self
    }

    /// Lines below this level are not wanted. At first all are.
    pub fn log_level(&mut self, level: Level) -> &mut Self {
        self.process.log_level = level;
        self
    }

    /// `limits.body` of the gateway. At first it is 1 MiB.
    pub fn body_limit(&mut self, bytes: usize) -> &mut Self {
        self.process.body_limit = bytes;
        self
    }

    /// A fresh isolate: the policy, configured.
    fn isolate(&mut self) -> Result<P> {
        let settings = self.process.settings.to_string();
        let mut outside = mock::Exchange::new();
        let configured = mock::enter(&mut self.process, &mut outside, || glue::configure(&settings));
        configured.map_err(crate::Error::msg)
    }
}

impl<P> std::fmt::Debug for Tested<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tested").finish_non_exhaustive()
    }
}
