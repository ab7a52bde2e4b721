//! `jwt`: lets requests pass that carry a token (JWT, RFC 7519), and names the consumer.
//!
//! ```toml
//! [key_set.idp]
//! jwks     = "idp.json"
//! issuer   = "https://id.example.com"
//! audience = "orders"
//!
//! [[route]]
//! path     = "/orders/**"
//! upstream = "orders"
//! policies = [{ use = "jwt", with = { keys = "idp", scopes = ["orders:read"], headers = { x-user = "sub" } } }]
//! ```
//!
//! Which keys sign for whom, who issues tokens and for what audience the `[key_set]` says. A request without
//! a token, or with one that is not accepted, gets 401 with a challenge (RFC 6750, section 3); one whose token
//! lacks a scope or a claim gets 403. Where keys are fetched, a token with a `kid` that is not among them waits for
//! new ones; one that can't be judged because there are none gets 503. Why it was not accepted is in the log.
//!
//! A token that was accepted is remembered by a keyed hash, up to 16 MiB of them for each key set: its signature is not
//! computed again until it expires or the keys of the set are others.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::bearer::{self, Bearer, Carrier, OneOf};
use super::settings::{Name, SettingsError, read};
use super::{Built, Materials};
use crate::vault::{KeySet, TokenError};
use crate::{Answer, Exchange, Failure, Phase, Phases, Policy, Seat, SecretPlace, Verdict};

/// `jwt`: whose tokens, and what they have to say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `keys` (required): the `[key_set]` that verifies tokens.
    keys: String,
    /// `from`: where the token is: `{ header = "authorization" }` (after `Bearer ` there, alone in any other
    /// header), `{ cookie = "session" }` or `{ query = "access_token" }`. The first place that has something
    /// is the one that counts. Default `[{ header = "authorization" }]`.
    #[serde(default = "Carrier::usual")]
    from: Vec<Carrier>,
    /// `scopes`: what the claim `scope` (a list in one string, RFC 8693) or `scp` has to name, all of it.
    /// Default: nothing.
    #[serde(default)]
    scopes: Vec<String>,
    /// `claims`: what claims have to be: `{ tenant = "acme" }`, or one of several: `{ role = ["admin", "ops"] }`.
    /// A claim that is a list has to contain it. Default: nothing.
    #[serde(default)]
    claims: BTreeMap<String, OneOf>,
    /// `consumer`: the claim that names the consumer: 256 bytes at most. Default `"sub"`.
    #[serde(default = "bearer::sub")]
    consumer: String,
    /// `attributes`: the consumer's attributes, by claims: `{ plan = "plan" }`. Default: none.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    /// `headers`: headers for the upstream, by claims: `{ x-user = "sub" }`. What the client sent under these
    /// names is taken away. Default: none.
    #[serde(default)]
    headers: HashMap<Name, String>,
    /// `strip`: whether tokens are taken out of the request, in all places of `from`. Default `false`.
    #[serde(default)]
    strip: bool,
    /// `optional`: whether a request without a token passes, and then has no consumer. One that is not
    /// accepted never does. Default `false`.
    #[serde(default)]
    optional: bool,
    /// `realm`: what the challenge calls the place. Default: nothing.
    #[serde(default)]
    realm: Option<String>,
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let Settings { keys, from, scopes, claims, consumer, attributes, headers, strip, optional, realm } =
        read(settings)?;
    let Some(keys) = materials.vault.key_sets.get(&keys).cloned() else {
        return Err(SettingsError::new("/keys", format!("there is no [key_set.{keys}]")));
    };
    let terms = bearer::Terms { from, scopes, claims, consumer, attributes, headers, strip, optional, realm };
    let bearer = Bearer::new(terms, format!("key set `{}`", keys.name()))?;
    Ok(Box::new(Jwt { keys, bearer }))
}

struct Jwt {
    keys: Arc<KeySet>,
    bearer: Bearer,
}

impl Policy for Jwt {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn secrets(&self) -> Vec<SecretPlace> {
        self.bearer.places()
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        self.bearer.silence(exchange);
        let text = match self.bearer.token(exchange) {
            Ok(Some(token)) => token,
            Ok(None) => return Answer::Ready(Ok(Verdict::Next)),
            Err(denial) => return denial.answer(exchange),
        };
        let verified = self.keys.verify(&text);
        let Some(news) = verified.as_ref().err().and_then(|error| self.keys.news(*error)) else {
            return Answer::Ready(self.decide(exchange, verified));
        };
        let text = text.into_owned();
        Answer::Wait(Box::pin(async move {
            news.await;
            self.decide(exchange, self.keys.verify(&text))
        }))
    }
}

impl Jwt {
    fn decide(
        &self,
        exchange: &mut Exchange,
        verified: Result<Arc<Value>, TokenError>,
    ) -> Result<Verdict, Failure> {
        let admitted = match verified {
            Ok(claims) => self.bearer.admit(exchange, claims),
            Err(TokenError::Expired) => Err(self.bearer.expired()),
            Err(error @ TokenError::Unavailable) => Err(self.bearer.unavailable(reason(error))),
            Err(error) => Err(self.bearer.invalid(reason(error))),
        };
        match admitted {
            Ok(()) => Ok(Verdict::Next),
            Err(denial) => denial.stage(exchange),
        }
    }
}

fn reason(error: TokenError) -> &'static str {
    match error {
        TokenError::Malformed => "it is not a signed token with a time of expiry",
        TokenError::UnknownKey => "no key of the set is the one it names, or verifies its algorithm",
        TokenError::BadSignature => "its signature is wrong",
        TokenError::Expired => "it has expired",
        TokenError::NotYetValid => "it is not valid yet",
        TokenError::WrongIssuer => "it is of another issuer",
        TokenError::WrongAudience => "it is for another audience",
        TokenError::Unavailable => "its keys could not be fetched",
    }
}
