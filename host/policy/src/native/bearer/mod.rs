//! Whoever bears a token, and what it says of them: what `jwt` and `introspect` have in common.

mod token;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use http::StatusCode;
use http::header::{self, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

pub(super) use self::token::{Carried, Carrier};
use super::denial::Denial;
use super::settings::{Name, SettingsError, check_edit};
use crate::{Consumer, EditError, Exchange, HeaderEdit, SecretPlace, Side};

/// Where tokens are, what they have to say, and what becomes of it: settings by the same names.
pub(super) struct Terms {
    pub(super) from: Vec<Carrier>,
    pub(super) scopes: Vec<String>,
    pub(super) claims: BTreeMap<String, OneOf>,
    pub(super) consumer: String,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) headers: HashMap<Name, String>,
    pub(super) strip: bool,
    pub(super) optional: bool,
    pub(super) realm: Option<String>,
}

/// What a claim has to be.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOf {
    Several(Vec<Value>),
    One(Value),
}

pub(super) struct Bearer {
    terms: Terms,
    challenges: Challenges,
    /// Who says whether a token is a good one, for the log.
    judge: String,
}

/// What a client is told in `WWW-Authenticate` (RFC 6750, section 3).
struct Challenges {
    nothing: HeaderValue,
    invalid: HeaderValue,
    expired: HeaderValue,
    scopes: HeaderValue,
    /// Its claims are not what they have to be.
    claims: HeaderValue,
}

pub(super) fn sub() -> String {
    "sub".to_owned()
}

impl Bearer {
    /// `judge`: who says whether a token is a good one, like "key set `idp`".
    pub(super) fn new(terms: Terms, judge: String) -> Result<Self, SettingsError> {
        if terms.from.is_empty() {
            return Err(SettingsError::new("/from", "no place: nobody could pass"));
        }
        for Name(name) in terms.headers.keys() {
            check_edit(&format!("/headers/{name}"), Side::Request, HeaderEdit::Remove(name.as_str()))?;
        }
        let challenges = Challenges::new(&terms)?;
        Ok(Bearer { terms, challenges, judge })
    }

    /// Where tokens are.
    pub(super) fn places(&self) -> Vec<SecretPlace> {
        self.terms.from.iter().map(Carrier::place).collect()
    }

    /// Whatever becomes of the token, nobody else says who asks.
    pub(super) fn silence(&self, exchange: &mut Exchange) {
        for Name(name) in self.terms.headers.keys() {
            if exchange.request.headers().contains_key(name) {
                let _ = exchange.edit_header(Side::Request, HeaderEdit::Remove(name.as_str()));
            }
        }
    }

    /// The token of a request; none where it may pass without.
    pub(super) fn token<'a>(&self, exchange: &'a Exchange) -> Result<Option<Cow<'a, str>>, Denial> {
        match self.terms.from.iter().find_map(|from| from.find(exchange)) {
            Some(Carried::Token(text)) => Ok(Some(text)),
            Some(Carried::Nonsense) => Err(self.invalid("it is not sent as a token is")),
            None if self.terms.optional => Ok(None),
            None => {
                let challenge = self.challenges.nothing.clone();
                Err(Denial::unauthorized(challenge, "A token is needed here.", "there is no token"))
            }
        }
    }

    /// Lets pass whoever has these claims, if they may.
    pub(super) fn admit(&self, exchange: &mut Exchange, claims: Arc<Value>) -> Result<(), Denial> {
        self.judge(&claims)?;
        self.introduce(exchange, claims)?;
        if self.terms.strip {
            // One in another place was not looked at, and is as little for the upstream.
            for carrier in &self.terms.from {
                if matches!(carrier.find(exchange), Some(Carried::Token(_))) {
                    carrier.strip(exchange);
                }
            }
        }
        Ok(())
    }

    /// 401: the token is not a good one.
    pub(super) fn invalid(&self, why: &str) -> Denial {
        self.refuse(&self.challenges.invalid, why)
    }

    /// 401: the token was a good one.
    pub(super) fn expired(&self) -> Denial {
        self.refuse(&self.challenges.expired, "it has expired")
    }

    /// 503: whether the token is a good one can't be told.
    pub(super) fn unavailable(&self, why: &str) -> Denial {
        let why = format!("the token can't be judged by {}: {why}", self.judge);
        Denial::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "identity_unavailable",
            "Who asks can't be told at this moment.",
            why,
        )
        .header(header::RETRY_AFTER, HeaderValue::from_static("5"))
    }

    fn refuse(&self, challenge: &HeaderValue, why: &str) -> Denial {
        let why = format!("the token is not accepted by {}: {why}", self.judge);
        Denial::unauthorized(challenge.clone(), "The token is not accepted.", why)
    }

    /// Whether whoever has these claims may.
    fn judge(&self, claims: &Value) -> Result<(), Denial> {
        let missing = self.terms.scopes.iter().find(|wanted| !scopes(claims).any(|scope| scope == **wanted));
        if let Some(scope) = missing {
            let why = format!("the token lacks the scope `{scope}`");
            return Err(Denial::forbidden("The token does not allow this.", why)
                .header(header::WWW_AUTHENTICATE, self.challenges.scopes.clone()));
        }
        let unfit = self.terms.claims.iter().find(|(name, wanted)| !wanted.accept(claims.get(name)));
        match unfit {
            None => Ok(()),
            Some((name, _)) => {
                let why = format!("the token's claim `{name}` is not what it has to be");
                Err(Denial::forbidden("The token does not allow this.", why)
                    .header(header::WWW_AUTHENTICATE, self.challenges.claims.clone()))
            }
        }
    }

    /// Says who asks: to the policies behind this one, and to the upstream.
    fn introduce(&self, exchange: &mut Exchange, claims: Arc<Value>) -> Result<(), Denial> {
        let Some(id) = claims.get(&self.terms.consumer).and_then(text) else {
            let why = format!("the token has no claim `{}` to name the consumer by", self.terms.consumer);
            return Err(self.invalid(&why));
        };
        let unfit = |what: &str, _: EditError| {
            self.invalid(&format!("{what} is too long, or has control characters"))
        };
        let attributes = self.terms.attributes.iter();
        let attributes: Vec<_> = attributes
            .filter_map(|(name, claim)| Some((&**name, claims.get(claim).and_then(text)?)))
            .collect();
        let attributes = attributes.iter().map(|(name, value)| (*name, &**value));
        let mut consumer = Consumer::with(&id, attributes)
            .map_err(|error| unfit("what names the consumer or is an attribute of it", error))?;
        for (Name(name), claim) in &self.terms.headers {
            if let Some(value) = claims.get(claim).and_then(text) {
                let set = exchange.edit_header(Side::Request, HeaderEdit::Set(name.as_str(), &value));
                set.map_err(|error| unfit("a claim that becomes a header", error))?;
            }
        }
        consumer.scopes = scopes(&claims).map(Into::into).collect();
        consumer.claims = Some(claims);
        exchange.introduce(consumer).map_err(|error| unfit("the consumer", error))
    }
}

impl Challenges {
    fn new(terms: &Terms) -> Result<Self, SettingsError> {
        // A quoted string (RFC 9110, section 5.6.4).
        let is_quotable = |text: &str| text.chars().all(|c| !matches!(c, '"' | '\\') && !c.is_control());
        if terms.realm.as_deref().is_some_and(|realm| !is_quotable(realm)) {
            return Err(SettingsError::new(
                "/realm",
                "neither quotes nor backslashes nor control characters",
            ));
        }
        let is_scope = |scope: &String| !scope.is_empty() && is_quotable(scope) && !scope.contains(' ');
        if !terms.scopes.iter().all(is_scope) {
            return Err(SettingsError::new("/scopes", "a scope is one word (RFC 6749, section 3.3)"));
        }
        let scopes = terms.scopes.join(" ");
        let realm = terms.realm.as_ref().map(|realm| format!("realm=\"{realm}\""));
        // RFC 6750, section 3.1.
        let (invalid, insufficient) = ("error=\"invalid_token\"", "error=\"insufficient_scope\"");
        Ok(Challenges {
            nothing: challenge([realm.clone(), None])?,
            invalid: challenge([realm.clone(), Some(invalid.to_owned())])?,
            expired: challenge([
                realm.clone(),
                Some(format!("{invalid}, error_description=\"it has expired\"")),
            ])?,
            scopes: challenge([realm.clone(), Some(format!("{insufficient}, scope=\"{scopes}\""))])?,
            claims: challenge([realm, Some(insufficient.to_owned())])?,
        })
    }
}

fn challenge(parameters: [Option<String>; 2]) -> Result<HeaderValue, SettingsError> {
    let parameters: Vec<_> = parameters.into_iter().flatten().collect();
    let text = format!("Bearer {}", parameters.join(", "));
    HeaderValue::try_from(text.trim_end())
        .map_err(|_| SettingsError::new("", "`realm` or `scopes` can't be in a header"))
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
