//! `api-key`: lets requests pass that carry a key, and names the consumer.
//!
//! ```toml
//! policies = [{ use = "api-key", with = { scopes = ["orders:read"], strip = true } }]
//! ```
//!
//! Keys are made, listed, rotated and revoked by `limen key`, or at `/keys` of the admin listener, while the
//! gateway runs. One looks like `lk_4fGk29LmPq0Z_...`: a prefix, an id, which is what logs and lists call it, and a
//! secret, which is shown once; of it only a keyed hash is kept, in the [`[store]`](../config/REFERENCE.md). A request's
//! key is looked up in memory. One that is revoked is refused from the next request on. What is known of a key that has
//! expired or was revoked is forgotten 30 days later.
//!
//! With `[store] url` the keys are in that store, and the same on all gateways that share it: a change that is made at one is
//! acknowledged when the store has it, and known to the others within a second (each asks four times in a second).
//! While it does not answer no key can be changed, and requests go on with the keys that their gateway has seen last,
//! however long that lasts; that the log tells, with their age, also when it is started then. So a
//! gateway that can't reach the store goes on accepting a key that was revoked elsewhere meanwhile. A store
//! that has lost keys is given back what its gateways know; to be rid of a key, revoke it. When a key was used last,
//! gateways tell one another every ten seconds, and when somebody asks.
//!
//! A request without a key that is in force gets 401 with a challenge, and does not learn why: the log tells
//! whether it is unknown, expired or revoked. One whose key lacks a scope gets 403. The consumer is the one that the key
//! is for, with its scopes, and with the attributes `key` (its id), `plan`, and what stands in its metadata.

use std::sync::Arc;

use http::header::{self, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::bearer::{Carried, Carrier};
use super::denial::{Denial, insufficient};
use super::settings::{Name, SettingsError, read};
use super::{Built, Materials};
use crate::keys::{self, Keyring, Peppers, Refused};
use crate::{Answer, Exchange, Phase, Phases, Policy, Seat, SecretPlace, Verdict};

/// `api-key`: where keys are, and what they have to allow.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `from`: where the key is: `{ header = "x-api-key" }`, `{ query = "api_key" }` or `{ cookie = "key" }`; in the header
    /// `authorization` after `Bearer ` or `ApiKey `. The first place that has something is the one that
    /// counts. Default `[{ header = "x-api-key" }, { header = "authorization" }]`.
    #[serde(default = "usual_places")]
    from: Vec<Carrier>,
    /// `prefix`: whose keys: what they begin with, up to 24 lowercase letters, digits and `_`. Keys of another prefix are
    /// refused. Default `"lk"`, as `limen key create` has it.
    #[serde(default = "keys::usual_prefix")]
    prefix: String,
    /// `scopes`: what the key has to allow, all of it. Default: nothing.
    #[serde(default)]
    scopes: Vec<String>,
    /// `strip`: whether the key is taken out of the request before the upstream gets it. Default false.
    #[serde(default)]
    strip: bool,
    /// `optional`: whether requests without a key pass as well, without a consumer. Default false.
    #[serde(default)]
    optional: bool,
    /// `realm`: what the client is told in `WWW-Authenticate` to be in front of. Default: nothing.
    #[serde(default)]
    realm: Option<String>,
}

/// What stands before a key in `authorization`.
const SCHEMES: [&str; 2] = ["bearer", "apikey"];

fn usual_places() -> Vec<Carrier> {
    let header = |name| Carrier::Header(Name(name));
    vec![header(HeaderName::from_static("x-api-key")), header(header::AUTHORIZATION)]
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    if settings.from.is_empty() {
        return Err(SettingsError::new("/from", "no place: nobody could pass"));
    }
    if !keys::is_prefix(&settings.prefix) {
        let message = "not a prefix: up to 24 lowercase letters, digits and `_`, a letter first";
        return Err(SettingsError::new("/prefix", message));
    }
    // A quoted string (RFC 9110, section 5.6.4).
    let is_quotable = |realm: &str| realm.chars().all(|c| !matches!(c, '"' | '\\') && !c.is_control());
    if settings.realm.as_deref().is_some_and(|realm| !is_quotable(realm)) {
        return Err(SettingsError::new("/realm", "neither quotes nor backslashes nor control characters"));
    }
    let (challenge, separator) = match &settings.realm {
        Some(realm) => (format!("ApiKey realm=\"{realm}\""), ","),
        None => ("ApiKey".to_owned(), ""),
    };
    let insufficient = insufficient(&format!("{challenge}{separator}"), &settings.scopes)?;
    let challenge = HeaderValue::try_from(challenge)
        .map_err(|_| SettingsError::new("/realm", "it can't be in a header"))?;
    let (keyring, peppers) = materials.keys()?;
    Ok(Box::new(ApiKey { keyring, peppers, challenge, insufficient, settings }))
}

struct ApiKey {
    keyring: Arc<Keyring>,
    peppers: Arc<Peppers>,
    /// What a client without a key is told. No registered scheme is for keys in a header of their own; this
    /// one is what others use.
    challenge: HeaderValue,
    /// ... and one whose key lacks a scope.
    insufficient: HeaderValue,
    settings: Settings,
}

impl Policy for ApiKey {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn secrets(&self) -> Vec<SecretPlace> {
        self.settings.from.iter().map(Carrier::place).collect()
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        match self.admit(exchange) {
            Ok(()) => Answer::Ready(Ok(Verdict::Next)),
            Err(denial) => denial.answer(exchange),
        }
    }
}

impl ApiKey {
    fn admit(&self, exchange: &mut Exchange) -> Result<(), Denial> {
        let from = &self.settings.from;
        let found = from.iter().find_map(|from| Some((from, from.find_after(&SCHEMES, exchange)?)));
        let Some((carrier, carried)) = found else {
            if self.settings.optional {
                return Ok(());
            }
            let challenge = self.challenge.clone();
            return Err(Denial::unauthorized(challenge, "A key is needed here.", "there is no key"));
        };
        let Carried::Token(text) = carried else {
            return Err(self.refused("it is not sent as a key is"));
        };
        let keys = self.keyring.at_hand();
        let found = keys.find(&text, &self.settings.prefix, &self.peppers);
        let key = found.map_err(|refused| self.refused(&reason(&refused)))?;
        let lacks = |wanted: &&String| !key.consumer.scopes.iter().any(|scope| **scope == ***wanted);
        if let Some(scope) = self.settings.scopes.iter().find(lacks) {
            let why = format!("key {} lacks the scope `{scope}`", key.record.id);
            return Err(Denial::forbidden("The key does not allow this.", why)
                .header(header::WWW_AUTHENTICATE, self.insufficient.clone()));
        }
        let consumer = key.consumer.clone();
        if self.settings.strip {
            carrier.strip(exchange);
        }
        exchange.introduce(consumer).map_err(|_| self.refused("the consumer can't be named now"))
    }

    /// To the client all that are not accepted are alike.
    fn refused(&self, why: &str) -> Denial {
        let why = format!("the key is not accepted: {why}");
        Denial::unauthorized(self.challenge.clone(), "The key is not accepted.", why)
    }
}

/// For the log: with the id, never with the key.
fn reason(refused: &Refused) -> String {
    match refused {
        Refused::Malformed => "it is malformed, or its checksum is wrong".to_owned(),
        Refused::OtherPrefix(id) => format!("{id} has another prefix"),
        Refused::Unknown(id) => format!("{id} is unknown"),
        Refused::Wrong(id) => format!("the secret of {id} is another one"),
        Refused::Expired(id) => format!("{id} has expired"),
        Refused::Revoked(id) => format!("{id} is revoked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::plain;
    use serde_json::json;

    #[test]
    fn mistakes_are_found_at_load() {
        let mistake = |settings| plain(build, &settings).err().map(|error| error.pointer);
        assert_eq!(mistake(json!({})), None);
        assert_eq!(mistake(json!({ "from": [] })).as_deref(), Some("/from"));
        assert_eq!(mistake(json!({ "prefix": "Acme" })).as_deref(), Some("/prefix"));
        assert_eq!(mistake(json!({ "realm": "a\"b" })).as_deref(), Some("/realm"));
        assert_eq!(mistake(json!({ "from": [{ "heder": "x" }] })).as_deref(), Some("/from/0"));
    }

    #[test]
    fn who_has_no_key_gets_a_challenge_and_passes_where_it_is_optional() {
        let ask = |settings: &Value| {
            let policy = plain(build, settings).unwrap();
            let mut exchange = Box::<Exchange>::default();
            exchange.enter(Phase::Request, 0);
            match policy.call(Phase::Request, &mut exchange, &mut None) {
                Answer::Ready(verdict) => assert!(verdict.is_ok()),
                Answer::Wait(_) => panic!("it waits"),
            }
            exchange.reply
        };
        let reply = ask(&json!({ "realm": "orders" })).unwrap();
        assert_eq!(reply.head.status(), 401);
        assert_eq!(reply.head.headers()["www-authenticate"], "ApiKey realm=\"orders\"");
        assert!(ask(&json!({ "optional": true })).is_none());
    }
}
