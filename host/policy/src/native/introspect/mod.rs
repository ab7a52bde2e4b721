//! `introspect`: lets requests pass whose token its issuer says is good (OAuth 2.0 Token Introspection, RFC 7662),
//! and names the consumer. For tokens that say nothing themselves; see `jwt` for those that do.
//!
//! ```toml
//! [secret.introspection]
//! env = "INTROSPECTION_SECRET"
//!
//! [[route]]
//! path     = "/orders/**"
//! upstream = "orders"
//!
//! [[route.policies]]
//! use = "introspect"
//! with.url    = "https://id.example.com/oauth2/introspect"
//! with.client = "gateway"
//! with.secret = "introspection"
//! with.scopes = ["orders:read"]
//! ```
//!
//! The answer is remembered by a keyed hash of the token, within its `exp`, and over reloads that leave who is asked and the
//! times as they are; requests with the same token ask once together. A token that is not active gets 401 with a challenge (RFC 6750, section 3), one that lacks a scope or a claim
//! 403. Where the issuer does not answer in time or as it should, tokens that are not remembered get 503.

mod ask;
mod memory;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use limen_config::Upstream;
use serde::Deserialize;
use serde_json::Value;

use self::ask::{Issuer, Unavailable};
use self::memory::{Memory, Said};
use super::bearer::{self, Bearer, Carrier, OneOf};
use super::denial::Denial;
use super::settings::{Name, SettingsError, Span, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Failure, Phase, Phases, Policy, Seat, SecretPlace, Verdict};

/// `introspect`: who says whether tokens are good, and what they have to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `url`: the address that is asked, like "https://id.example.com/oauth2/introspect". Its server is an upstream with
    /// all defaults, named after it in metrics and logs. Either this or `upstream`.
    #[serde(default)]
    url: Option<String>,
    /// `roots`: with `url`, a PEM file with the certificates that are trusted instead of the system's.
    #[serde(default)]
    roots: Option<String>,
    /// `plain_http`: true takes an `http://` in `url`, too. Whoever is on the way can then read tokens, and say which are
    /// good. Default `false`.
    #[serde(default)]
    plain_http: bool,
    /// `upstream`: the upstream that is asked, for one with several endpoints or limits of its own.
    #[serde(default)]
    upstream: Option<String>,
    /// `path`: where, with `upstream`. Default `"/introspect"`.
    #[serde(default)]
    path: Option<String>,
    /// `client`: who the gateway is to it (`client_id`). Together with `secret`. Default: nobody.
    #[serde(default)]
    client: Option<String>,
    /// `secret`: the name of the `[secret]` that is the client's.
    #[serde(default)]
    secret: Option<String>,
    /// `timeout`: how long an answer may take. 10ms to 30s; default 2s.
    #[serde(default = "two_seconds")]
    timeout: Span,
    /// `ttl`: how long it is remembered that a token is good: no longer than its `exp`, and longer than it takes to
    /// revoke one matters. 0s to 1h; default 30s.
    #[serde(default = "half_a_minute")]
    ttl: Span,
    /// `negative_ttl`: how long it is remembered that one is not. 0s to 1h; default 10s.
    #[serde(default = "ten_seconds")]
    negative_ttl: Span,
    /// `max_stale`: how long beyond `ttl`, and within `exp`, a good one passes while the issuer does not answer. 0s to
    /// 24h; default 0s.
    #[serde(default = "not_at_all")]
    max_stale: Span,
    /// `remember`: how many tokens are remembered. 1 to 1000000; default 10000.
    #[serde(default = "many")]
    remember: u64,
    /// `from`: where the token is: `{ header = "authorization" }` (after `Bearer ` there, alone in any other
    /// header), `{ cookie = "session" }` or `{ query = "access_token" }`. The first place that has something
    /// is the one that counts. Default `[{ header = "authorization" }]`.
    #[serde(default = "Carrier::usual")]
    from: Vec<Carrier>,
    /// `scopes`: what `scope` in the answer has to name, all of it. Default: nothing.
    #[serde(default)]
    scopes: Vec<String>,
    /// `claims`: what members of the answer have to be: `{ client_id = "shop" }`, or one of several: `{ aud = ["a", "b"] }`.
    /// One that is a list has to contain it. Default: nothing.
    #[serde(default)]
    claims: BTreeMap<String, OneOf>,
    /// `consumer`: the member that names the consumer: 256 bytes at most. Default `"sub"`.
    #[serde(default = "bearer::sub")]
    consumer: String,
    /// `attributes`: the consumer's attributes, by members: `{ app = "client_id" }`. Default: none.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    /// `headers`: headers for the upstream, by members: `{ x-user = "username" }`. What the client sent under these
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

fn two_seconds() -> Span {
    Span(Duration::from_secs(2))
}

fn half_a_minute() -> Span {
    Span(Duration::from_secs(30))
}

fn ten_seconds() -> Span {
    Span(Duration::from_secs(10))
}

fn not_at_all() -> Span {
    Span(Duration::ZERO)
}

fn many() -> u64 {
    10_000
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    for (key, Span(value), range, said) in [
        ("/timeout", settings.timeout, Duration::from_millis(10)..=Duration::from_secs(30), "10ms to 30s"),
        ("/ttl", settings.ttl, Duration::ZERO..=HOUR, "0s to 1h"),
        ("/negative_ttl", settings.negative_ttl, Duration::ZERO..=HOUR, "0s to 1h"),
        ("/max_stale", settings.max_stale, Duration::ZERO..=DAY, "0s to 24h"),
    ] {
        if !range.contains(&value) {
            return Err(SettingsError::new(key, said));
        }
    }
    if !(1..=1_000_000).contains(&settings.remember) {
        return Err(SettingsError::new("/remember", "1 to 1000000"));
    }
    let credentials = match (&settings.client, &settings.secret) {
        (None, None) => None,
        (Some(client), Some(name)) => {
            let secret = materials.vault.secrets.get(name);
            let missing = || SettingsError::new("/secret", format!("there is no [secret.{name}]"));
            Some((client.as_str(), secret.ok_or_else(missing)?))
        }
        _ => return Err(SettingsError::new("", "`client` and `secret`, or neither")),
    };
    let Span(timeout) = settings.timeout;
    let (upstream, path, own) = settings.place(materials.folder)?;
    let (Span(good), Span(bad), Span(max_stale)) = (settings.ttl, settings.negative_ttl, settings.max_stale);
    let terms = memory::Terms {
        upstream: settings.url.clone().unwrap_or_else(|| upstream.clone()),
        path: path.clone(),
        client: settings.client.clone(),
        most: settings.remember,
        good,
        bad,
        max_stale,
    };
    let issuer = Issuer::new(upstream, &path, credentials, timeout)?;
    let key = memory::key().ok_or_else(|| SettingsError::new("", "no random numbers are to be had"))?;
    let fits = |known: &Memory| known.is_of(&terms);
    let memory = materials.kept_if(fits, || Arc::new(Memory::new(key, terms.clone())));
    let Settings { from, scopes, claims, consumer, attributes, headers, strip, optional, realm, .. } =
        settings;
    let terms = bearer::Terms { from, scopes, claims, consumer, attributes, headers, strip, optional, realm };
    let bearer = Bearer::new(terms, format!("the upstream `{}`", issuer.upstream()))?;
    Ok(Box::new(Introspect { bearer, issuer, own, memory }))
}

impl Settings {
    /// Which upstream is asked, and where; with what it is, if that is said here.
    fn place(&self, folder: &Path) -> Result<(String, String, Option<Upstream>), SettingsError> {
        let only = |key: &str, with: &str| SettingsError::new(key, format!("it goes with `{with}`"));
        match (&self.url, &self.upstream) {
            (None, None) => Err(SettingsError::new("", "nobody to ask (`url`, or `upstream` and `path`)")),
            (Some(_), Some(_)) => Err(SettingsError::new("/upstream", "either `url` or `upstream`")),
            (None, Some(_)) if self.roots.is_some() => {
                Err(only("/roots", "url").hint(Some("that of an upstream is in its `tls`".to_owned())))
            }
            (None, Some(_)) if self.plain_http => Err(only("/plain_http", "url")),
            (None, Some(upstream)) => {
                Ok((upstream.clone(), self.path.clone().unwrap_or_else(|| "/introspect".to_owned()), None))
            }
            (Some(_), None) if self.path.is_some() => Err(only("/path", "upstream")),
            (Some(url), None) => {
                let wrong = |why: String| SettingsError::new("/url", why);
                let uri: Option<Uri> = url.parse().ok();
                let parts = uri
                    .as_ref()
                    .and_then(|uri| Some((uri.scheme_str()?, uri.authority()?, uri.path_and_query()?)));
                let (scheme, authority, path) =
                    parts.ok_or_else(|| wrong(format!("not an address: `{url}`")))?;
                if scheme == "http" && !self.plain_http {
                    let hint = "add `plain_http = true` where the way is safe";
                    return Err(wrong("an `http://` address".to_owned()).hint(Some(hint.to_owned())));
                }
                let address = format!("{scheme}://{authority}");
                let own = Upstream::alone(&address, self.roots.as_deref(), folder);
                let own = own.map_err(|unfit| wrong(unfit.message).hint(unfit.hint))?;
                Ok((own.name.clone(), path.as_str().to_owned(), Some(own)))
            }
        }
    }
}

struct Introspect {
    bearer: Bearer,
    issuer: Issuer,
    /// The upstream, if no section is about it.
    own: Option<Upstream>,
    memory: Arc<Memory>,
}

impl Policy for Introspect {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn upstream(&self) -> Option<&str> {
        Some(self.issuer.upstream())
    }

    fn own_upstream(&self) -> Option<&Upstream> {
        self.own.as_ref()
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
        let mark = self.memory.mark(&text);
        if let Some(said) = self.memory.fresh(&mark) {
            return Answer::Ready(self.decide(exchange, Ok(said)));
        }
        let text = text.into_owned();
        Answer::Wait(Box::pin(async move {
            let said = self.memory.once(&mark, self.issuer.ask(exchange, &text)).await;
            self.decide(exchange, said)
        }))
    }
}

impl Introspect {
    fn decide(&self, exchange: &mut Exchange, said: Result<Said, Unavailable>) -> Result<Verdict, Failure> {
        let admitted = match said {
            Ok(Said::Active(claims)) => self.admit(exchange, claims),
            Ok(Said::Inactive) => Err(self.bearer.invalid("it is not active")),
            Err(Unavailable(why)) => Err(self.bearer.unavailable(&why)),
        };
        match admitted {
            Ok(()) => Ok(Verdict::Next),
            Err(denial) => denial.stage(exchange),
        }
    }

    fn admit(&self, exchange: &mut Exchange, claims: Arc<Value>) -> Result<(), Denial> {
        let now = memory::seconds_now();
        if memory::seconds(&claims, "exp").is_some_and(|exp| exp <= now) {
            return Err(self.bearer.expired());
        }
        if memory::seconds(&claims, "nbf").is_some_and(|nbf| nbf > now) {
            return Err(self.bearer.invalid("it is not valid yet"));
        }
        self.bearer.admit(exchange, claims)
    }
}
