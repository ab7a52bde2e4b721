//! `authorize`: lets requests pass by who asks, by what they may, and by conditions.
//!
//! ```toml
//! [key_set.idp]
//! jwks = "idp.json"
//!
//! [policy.login]
//! use  = "jwt"
//! with = { keys = "idp" }
//!
//! [policy.own_tenant]
//! use = "authorize"
//!
//! [policy.own_tenant.with]
//! scopes     = ["orders:read"]
//! roles      = ["admin", "clerk"]
//! conditions = ['request.method != "DELETE" || "admin" in claims.roles']
//!
//! [[route]]
//! path     = "/orders/**"
//! upstream = "orders"
//! policies = ["login", "own_tenant"]
//! ```
//!
//! It stands behind a policy that finds out who asks, and goes by what that found. Everything that is set has to
//! be fulfilled; whoever does not gets 403, and why is in the log. Conditions are expressions (CEL): what they see
//! and what they can say is in [EXPRESSIONS.md](EXPRESSIONS.md). One that can't be computed for a request, because
//! a claim is not there, say, does not hold.

use http::header::{self, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::denial::{Denial, insufficient};
use super::expression::Condition;
use super::settings::{SettingsError, read};
use super::{Built, Materials};
use crate::{Answer, Consumer, Exchange, Phase, Phases, Policy, Seat, Verdict};

/// `authorize`: what has to be true of a request.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// `consumers`: who may: ids, of which the consumer's has to be one. Default: anybody, and nobody.
    consumers: Option<Vec<String>>,
    /// `scopes`: what the consumer's scopes have to contain, all of it. Default: nothing.
    scopes: Vec<String>,
    /// `roles`: of which the consumer has to have one. Default: none is needed.
    roles: Option<Vec<String>>,
    /// `roles_from`: where roles stand: a claim, or one within another like `"realm_access.roles"`, else an
    /// attribute of the consumer of that name: a list, or a text with commas or spaces between them. Default `"roles"`.
    roles_from: String,
    /// `conditions`: expressions that have to be true, all of them. Default: none.
    conditions: Vec<Condition>,
    /// `unless`: expressions of which none may be true; one that can't be computed counts as true. Default: none.
    unless: Vec<Condition>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            consumers: None,
            scopes: Vec::new(),
            roles: None,
            roles_from: "roles".to_owned(),
            conditions: Vec::new(),
            unless: Vec::new(),
        }
    }
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    let asks_of_consumer =
        settings.consumers.is_some() || !settings.scopes.is_empty() || settings.roles.is_some();
    if !asks_of_consumer && settings.conditions.is_empty() && settings.unless.is_empty() {
        let message = "it asks for nothing, and would let everybody pass: give it `consumers`, `scopes`, `roles`, `conditions` or `unless`";
        return Err(SettingsError::new("", message));
    }
    let challenge = insufficient("Bearer", &settings.scopes)?;
    Ok(Box::new(Authorize { settings, asks_of_consumer, challenge }))
}

struct Authorize {
    settings: Settings,
    asks_of_consumer: bool,
    /// What whoever came by a token is told.
    challenge: HeaderValue,
}

impl Policy for Authorize {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        match self.judge(exchange) {
            Ok(()) => Answer::Ready(Ok(Verdict::Next)),
            Err(why) => {
                let denial = Denial::forbidden("You may not do this.", why);
                // Whoever came by a token is told that it is too little (RFC 6750, section 3.1).
                let is_by_token =
                    exchange.consumer.as_ref().is_some_and(|consumer| consumer.claims.is_some());
                let denial = match is_by_token {
                    true => denial.header(header::WWW_AUTHENTICATE, self.challenge.clone()),
                    false => denial,
                };
                denial.answer(exchange)
            }
        }
    }
}

impl Authorize {
    fn judge(&self, exchange: &Exchange) -> Result<(), String> {
        if self.asks_of_consumer {
            let consumer = exchange.consumer.as_deref();
            self.judge_consumer(consumer.ok_or("no policy before this one has found out who asks")?)?;
        }
        for Condition(condition) in &self.settings.conditions {
            let text = condition.source();
            match condition.holds(exchange) {
                Ok(true) => {}
                Ok(false) => return Err(format!("`{text}` does not hold")),
                Err(error) => return Err(format!("`{text}` can't be computed: {error}")),
            }
        }
        for Condition(condition) in &self.settings.unless {
            let text = condition.source();
            match condition.holds(exchange) {
                Ok(false) => {}
                Ok(true) => return Err(format!("`{text}` holds")),
                Err(error) => return Err(format!("`{text}` can't be computed: {error}")),
            }
        }
        Ok(())
    }

    fn judge_consumer(&self, consumer: &Consumer) -> Result<(), String> {
        let Settings { consumers, scopes, roles, roles_from, .. } = &self.settings;
        let id = consumer.id();
        if consumers.as_ref().is_some_and(|consumers| !consumers.iter().any(|known| known == id)) {
            return Err(format!("consumer `{id}` is not among `consumers`"));
        }
        if let Some(missing) =
            scopes.iter().find(|scope| !consumer.scopes.iter().any(|own| **own == ***scope))
        {
            return Err(format!("consumer `{id}` lacks the scope `{missing}`"));
        }
        match roles {
            Some(roles) if !has_one(consumer, roles_from, roles) => {
                Err(format!("consumer `{id}` has none of the roles it takes, by `{roles_from}`"))
            }
            _ => Ok(()),
        }
    }
}

fn has_one(consumer: &Consumer, from: &str, roles: &[String]) -> bool {
    let is_one = |role: &str| roles.iter().any(|one| one == role);
    let in_text = |text: &str| text.split([',', ' ']).any(|role| !role.is_empty() && is_one(role));
    let claims = consumer.claims.as_deref();
    // A claim's own name may have dots in it: those of some issuers are URLs.
    let claim = claims.and_then(|claims| {
        let within = || from.split('.').try_fold(claims, |claims, name| claims.get(name));
        claims.get(from).or_else(within)
    });
    match claim {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).any(is_one),
        Some(Value::String(text)) => in_text(text),
        Some(_) => false,
        None => consumer.attribute(from).is_some_and(in_text),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::native::plain;
    use serde_json::json;

    fn passes(settings: Value, claims: Option<Value>) -> bool {
        let policy = plain(build, &settings).unwrap();
        let mut exchange = Box::<Exchange>::default();
        if let Some(claims) = claims {
            let mut consumer = Consumer::with("ada", [("groups", "dev, ops"), ("roles", "guest")]).unwrap();
            consumer.scopes = vec!["a".into(), "b".into()];
            consumer.claims = Some(Arc::new(claims));
            exchange.consumer = Some(Box::new(consumer));
        }
        exchange.enter(Phase::Request, 0);
        match policy.call(Phase::Request, &mut exchange, &mut None) {
            Answer::Ready(verdict) => verdict.unwrap() == Verdict::Next,
            Answer::Wait(_) => panic!("it waits"),
        }
    }

    #[test]
    fn all_that_is_asked_has_to_be_true() {
        let ada =
            || Some(json!({ "roles": ["admin"], "realm": { "roles": "x y" }, "https://a.b/roles": ["z"] }));
        for (settings, passing) in [
            (json!({ "consumers": ["ada"] }), true),
            (json!({ "consumers": ["eve"] }), false),
            (json!({ "consumers": [] }), false),
            (json!({ "scopes": ["a", "b"] }), true),
            (json!({ "scopes": ["a", "c"] }), false),
            (json!({ "roles": ["user", "admin"] }), true),
            (json!({ "roles": ["guest"] }), false),
            (json!({ "roles": [] }), false),
            (json!({ "roles": ["y"], "roles_from": "realm.roles" }), true),
            (json!({ "roles": ["z"], "roles_from": "https://a.b/roles" }), true),
            (json!({ "roles": ["ops"], "roles_from": "groups" }), true),
            (json!({ "roles": ["o"], "roles_from": "groups" }), false),
            (json!({ "conditions": ["consumer.id == 'ada'", "'admin' in claims.roles"] }), true),
            (json!({ "conditions": ["consumer.id == 'ada'", "'user' in claims.roles"] }), false),
            (json!({ "conditions": ["claims.none == 1"] }), false),
            (json!({ "unless": ["claims.none == 1"] }), false),
            (json!({ "unless": ["request.method == 'GET'"] }), false),
            (json!({ "unless": ["request.method == 'PUT'"] }), true),
            (json!({ "scopes": ["a"], "conditions": ["false"] }), false),
        ] {
            assert_eq!(passes(settings.clone(), ada()), passing, "{settings}");
        }
        assert!(
            passes(json!({ "roles": ["guest"] }), Some(json!({}))),
            "an attribute, where there is no claim"
        );
        assert!(!passes(json!({ "scopes": ["a"] }), None), "nobody asks");
        assert!(passes(json!({ "conditions": ["request.method == 'GET'"] }), None));
    }

    #[test]
    fn mistakes_are_found_at_load() {
        let mistake =
            |settings| plain(build, &settings).err().map(|error| (error.pointer, error.message)).unwrap();
        assert!(mistake(json!({})).1.contains("would let everybody pass"));
        let (pointer, message) = mistake(json!({ "conditions": ["true", "request.method == 1"] }));
        assert_eq!(pointer, "/conditions/1");
        assert!(message.contains("two of a kind"), "{message}");
    }
}
