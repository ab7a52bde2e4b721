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
//! lacks a scope or a claim gets 403. Why it was not accepted is in the log.

mod token;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::header::{self, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use self::token::{Carried, Carrier};
use super::denial::Denial;
use super::settings::{Name, SettingsError, check_edit, read};
use super::{Built, Materials};
use crate::vault::{KeySet, TokenError};
use crate::{Answer, Consumer, EditError, Exchange, HeaderEdit, Phase, Phases, Policy, Seat, Side, Verdict};

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
    #[serde(default = "sub")]
    consumer: String,
    /// `attributes`: the consumer's attributes, by claims: `{ plan = "plan" }`. Default: none.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    /// `headers`: headers for the upstream, by claims: `{ x-user = "sub" }`. What the client sent under these
    /// names is taken away. Default: none.
    #[serde(default)]
    headers: HashMap<Name, String>,
    /// `strip`: whether the token is taken out of the request. Default `false`.
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

/// What a claim has to be.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOf {
    Several(Vec<Value>),
    One(Value),
}

fn sub() -> String {
    "sub".to_owned()
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    let Some(keys) = materials.vault.key_sets.get(&settings.keys).cloned() else {
        let message = format!("there is no [key_set.{}]", settings.keys);
        return Err(SettingsError::new("/keys", message));
    };
    if settings.from.is_empty() {
        return Err(SettingsError::new("/from", "no place: nobody could pass"));
    }
    for Name(name) in settings.headers.keys() {
        check_edit(&format!("/headers/{name}"), Side::Request, HeaderEdit::Remove(name.as_str()))?;
    }
    // A quoted string (RFC 9110, section 5.6.4).
    let is_quotable = |realm: &str| realm.chars().all(|c| !matches!(c, '"' | '\\') && !c.is_control());
    if settings.realm.as_deref().is_some_and(|realm| !is_quotable(realm)) {
        return Err(SettingsError::new("/realm", "neither quotes nor backslashes nor control characters"));
    }
    let scopes = settings.scopes.join(" ");
    if settings.scopes.iter().any(|scope| scope.is_empty() || !is_quotable(scope) || scope.contains(' ')) {
        return Err(SettingsError::new("/scopes", "a scope is one word (RFC 6749, section 3.3)"));
    }
    let realm = settings.realm.as_ref().map(|realm| format!("realm=\"{realm}\""));
    let challenges = Challenges {
        nothing: challenge([realm.clone(), None])?,
        invalid: challenge([realm.clone(), Some("error=\"invalid_token\"".to_owned())])?,
        expired: challenge([
            realm.clone(),
            Some("error=\"invalid_token\", error_description=\"it has expired\"".to_owned()),
        ])?,
        scopes: challenge([realm, Some(format!("error=\"insufficient_scope\", scope=\"{scopes}\""))])?,
    };
    Ok(Box::new(Jwt { keys, challenges, settings }))
}

fn challenge(parameters: [Option<String>; 2]) -> Result<HeaderValue, SettingsError> {
    let parameters: Vec<_> = parameters.into_iter().flatten().collect();
    let text = format!("Bearer {}", parameters.join(", "));
    HeaderValue::try_from(text.trim_end())
        .map_err(|_| SettingsError::new("", "`realm` or `scopes` can't be in a header"))
}

struct Jwt {
    keys: Arc<KeySet>,
    challenges: Challenges,
    settings: Settings,
}

/// What a client is told in `WWW-Authenticate` (RFC 6750, section 3).
struct Challenges {
    nothing: HeaderValue,
    invalid: HeaderValue,
    expired: HeaderValue,
    scopes: HeaderValue,
}

impl Policy for Jwt {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        // Whatever becomes of the token, nobody else says who asks.
        for Name(name) in self.settings.headers.keys() {
            if exchange.request.headers().contains_key(name) {
                let _ = exchange.edit_header(Side::Request, HeaderEdit::Remove(name.as_str()));
            }
        }
        match self.admit(exchange) {
            Ok(()) => Answer::Ready(Ok(Verdict::Next)),
            Err(denial) => denial.answer(exchange),
        }
    }
}

impl Jwt {
    fn admit(&self, exchange: &mut Exchange) -> Result<(), Denial> {
        let found = self.settings.from.iter().find_map(|from| Some((from, from.find(exchange)?)));
        let Some((carrier, carried)) = found else {
            if self.settings.optional {
                return Ok(());
            }
            let challenge = self.challenges.nothing.clone();
            return Err(Denial::unauthorized(challenge, "A token is needed here.", "there is no token"));
        };
        let Carried::Token(token) = carried else {
            return Err(self.invalid(&self.challenges.invalid, "it is not sent as a token is"));
        };
        let claims = self.keys.verify(&token).map_err(|error| match error {
            TokenError::Expired => self.invalid(&self.challenges.expired, "it has expired"),
            error => self.invalid(&self.challenges.invalid, reason(error)),
        })?;
        self.judge(&claims)?;
        self.introduce(exchange, claims)?;
        if self.settings.strip {
            carrier.strip(exchange);
        }
        Ok(())
    }

    fn invalid(&self, challenge: &HeaderValue, why: &str) -> Denial {
        let why = format!("the token is not accepted by key set `{}`: {why}", self.keys.name());
        Denial::unauthorized(challenge.clone(), "The token is not accepted.", why)
    }

    /// Whether whoever has these claims may.
    fn judge(&self, claims: &Value) -> Result<(), Denial> {
        let missing =
            self.settings.scopes.iter().find(|wanted| !scopes(claims).any(|scope| scope == **wanted));
        if let Some(scope) = missing {
            let why = format!("the token lacks the scope `{scope}`");
            return Err(Denial::forbidden("The token does not allow this.", why)
                .header(header::WWW_AUTHENTICATE, self.challenges.scopes.clone()));
        }
        let unfit = self.settings.claims.iter().find(|(name, wanted)| !wanted.accept(claims.get(name)));
        match unfit {
            None => Ok(()),
            Some((name, _)) => {
                let why = format!("the token's claim `{name}` is not what it has to be");
                Err(Denial::forbidden("The token does not allow this.", why))
            }
        }
    }

    /// Says who asks: to the policies behind this one, and to the upstream.
    fn introduce(&self, exchange: &mut Exchange, claims: Value) -> Result<(), Denial> {
        let Some(id) = claims.get(&self.settings.consumer).and_then(text) else {
            let why = format!("the token has no claim `{}` to name the consumer by", self.settings.consumer);
            return Err(self.invalid(&self.challenges.invalid, &why));
        };
        let unfit = |what: &str, _: EditError| {
            self.invalid(&self.challenges.invalid, &format!("{what} is too long, or has control characters"))
        };
        let attributes = self.settings.attributes.iter();
        let attributes: Vec<_> = attributes
            .filter_map(|(name, claim)| Some((&**name, claims.get(claim).and_then(text)?)))
            .collect();
        let attributes = attributes.iter().map(|(name, value)| (*name, &**value));
        let mut consumer = Consumer::with(&id, attributes)
            .map_err(|error| unfit("what names the consumer or is an attribute of it", error))?;
        for (Name(name), claim) in &self.settings.headers {
            if let Some(value) = claims.get(claim).and_then(text) {
                let set = exchange.edit_header(Side::Request, HeaderEdit::Set(name.as_str(), &value));
                set.map_err(|error| unfit("a claim that becomes a header", error))?;
            }
        }
        consumer.scopes = scopes(&claims).map(Into::into).collect();
        consumer.claims = Some(Arc::new(claims));
        exchange.introduce(consumer).map_err(|error| unfit("the consumer", error))
    }
}

impl OneOf {
    fn accept(&self, claim: Option<&Value>) -> bool {
        let Some(claim) = claim else { return false };
        let wanted = match self {
            OneOf::One(one) => std::slice::from_ref(one),
            OneOf::Several(several) => several,
        };
        wanted
            .iter()
            .any(|wanted| claim == wanted || claim.as_array().is_some_and(|list| list.contains(wanted)))
    }
}

/// What a token allows: a list in one string (RFC 8693, section 4.2), or an array, as some issuers have it.
fn scopes(claims: &Value) -> impl Iterator<Item = &str> {
    ["scope", "scp"].into_iter().filter_map(|claim| claims.get(claim)).flat_map(|claim| match claim {
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        Value::String(list) => list.split(' ').filter(|scope| !scope.is_empty()).collect(),
        _ => Vec::new(),
    })
}

/// A claim as a header or a name: text as it is, numbers and truths as JSON, a list of those with commas.
fn text(claim: &Value) -> Option<String> {
    match claim {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(claim.to_string()),
        Value::Array(list) => list.iter().map(text).collect::<Option<Vec<_>>>().map(|list| list.join(",")),
        Value::Null | Value::Object(_) => None,
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
    }
}
