//! `hmac`: lets requests pass that are signed (HTTP Message Signatures, RFC 9421), and names the consumer.
//!
//! ```toml
//! [secret.partner]
//! env = "PARTNER_SECRET"
//!
//! [[route]]
//! path     = "/orders/**"
//! upstream = "orders"
//! policies = [{ use = "hmac", with = { keys = { partner-1 = { secret = "partner", consumer = "partner" } } } }]
//! ```
//!
//! Clients send `Signature-Input` and `Signature`, with `created`, `keyid` and, best, a `nonce`, made with HMAC-SHA-256
//! or Ed25519, over all of `components` at least; and over a `Content-Digest` (RFC 9530, sha-256 or sha-512) if
//! there is a body, which is read as a whole and compared. A signature counts within its `window` and once: without
//! a `nonce`, two requests that are the same in the same second are one too many. Anything else gets 401, with
//! an `Accept-Signature` that says what to sign. Paths are signed as the gateway spells them, hosts in small letters.

mod base;
mod digest;
mod input;
mod key;
mod replays;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use limen_config::units;
use serde::Deserialize;
use serde_json::Value;

use self::digest::Digests;
use self::input::Input;
use self::key::{Key, KeySettings};
use self::replays::{Replays, Seen};
use super::denial::Denial;
use super::settings::{Name, SettingsError, Span, check_edit, read};
use super::{Built, Materials};
use crate::{
    Answer, Consumer, Exchange, HeaderEdit, Phase, Phases, Policy, Seat, SecretPlace, Side, Verdict,
};

const INPUT: HeaderName = HeaderName::from_static("signature-input");
const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const ACCEPT: HeaderName = HeaderName::from_static("accept-signature");
const DIGEST: &str = "content-digest";
/// The longest window: signatures are remembered for twice as long.
const LONGEST_WINDOW: Duration = Duration::from_secs(3600);

/// `hmac`: whose signatures, over what.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `keys` (required): what signatures are made with, by `keyid`.
    keys: BTreeMap<String, KeySettings>,
    /// `components`: what a signature has to cover: derived components and headers (in small letters). Default
    /// `["@method", "@authority", "@path", "@query"]`.
    #[serde(default = "usual")]
    components: Vec<String>,
    /// `body`: whether bodies need a `content-digest` that is covered, and are compared with it. Default `true`.
    #[serde(default = "yes")]
    body: bool,
    /// `body_limit`: the longest body then; a longer one gets 413. 1 byte to 64MiB; default `"1MiB"`.
    #[serde(default)]
    body_limit: Option<String>,
    /// `window`: how far `created` may be from now, before and after. 1s to 1h; default 5m.
    #[serde(default = "five_minutes")]
    window: Span,
    /// `replay`: whether the same signature, or `nonce` of a key, is accepted again within the window. Default
    /// `false`.
    #[serde(default)]
    replay: bool,
    /// `remember`: how many signatures are remembered for that. When there are more, requests get 503. Only good
    /// ones count. 1 to 10000000; default 100000.
    #[serde(default = "many")]
    remember: usize,
    /// `tag`: what the signature's `tag` has to be. Default: anything.
    #[serde(default)]
    tag: Option<String>,
    /// `header`: a header that tells the upstream the consumer; what the client sent under that name is taken
    /// away. Default: none.
    #[serde(default)]
    header: Option<Name>,
}

fn usual() -> Vec<String> {
    ["@method", "@authority", "@path", "@query"].map(str::to_owned).into()
}

fn yes() -> bool {
    true
}

fn five_minutes() -> Span {
    Span(Duration::from_secs(300))
}

fn many() -> usize {
    100_000
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    let mut keys = BTreeMap::new();
    for (id, key) in &settings.keys {
        let wrong = |what: String| SettingsError::new(&format!("/keys/{id}"), what);
        keys.insert(id.clone(), Key::new(id, key, materials.vault).map_err(wrong)?);
    }
    if keys.is_empty() {
        return Err(SettingsError::new("/keys", "no keys: nobody could pass"));
    }
    for (number, component) in settings.components.iter().enumerate() {
        if !base::is_component(component) {
            let message = format!("not a component that can be signed: `{component}`");
            return Err(SettingsError::new(&format!("/components/{number}"), message));
        }
    }
    let Span(window) = settings.window;
    if !(Duration::from_secs(1)..=LONGEST_WINDOW).contains(&window) {
        return Err(SettingsError::new("/window", "1s to 1h"));
    }
    if !(1..=10_000_000).contains(&settings.remember) {
        return Err(SettingsError::new("/remember", "1 to 10000000"));
    }
    if let Some(Name(name)) = &settings.header {
        check_edit("/header", Side::Request, HeaderEdit::Remove(name.as_str()))?;
    }
    let limit = settings.body_limit.as_deref().map_or(Ok(1 << 20), units::size);
    let limit = limit.map_err(|malformed| SettingsError::new("/body_limit", malformed.message))?;
    if !(1..=64 << 20).contains(&limit) {
        return Err(SettingsError::new("/body_limit", "1 byte to 64MiB"));
    }
    let digest = settings.body.then_some(DIGEST);
    let covered = settings.components.iter().map(String::as_str).chain(digest);
    let covered: Vec<_> = covered.map(|component| format!("\"{component}\"")).collect();
    let accept = HeaderValue::try_from(format!("sig=({});created;keyid;nonce", covered.join(" ")))
        .map_err(|_| SettingsError::new("/components", "they can't be in a header"))?;
    Ok(Box::new(Hmac { keys, accept, limit, window, replays: materials.kept(Replays::default), settings }))
}

struct Hmac {
    keys: BTreeMap<String, Key>,
    /// What clients are told to sign.
    accept: HeaderValue,
    limit: u64,
    window: Duration,
    replays: Arc<Replays>,
    settings: Settings,
}

/// What is signed of a request whose body is yet to come.
struct Signed {
    digests: Digests,
    /// Its `keyid`.
    key: String,
    mark: replays::Mark,
    until: i64,
}

/// Why a request is refused.
enum Refused {
    Unsigned,
    Wrong(&'static str),
    /// Too many signatures are remembered.
    Full,
}

impl From<&'static str> for Refused {
    fn from(why: &'static str) -> Self {
        Refused::Wrong(why)
    }
}

impl Policy for Hmac {
    fn phases(&self) -> Phases {
        let phases = Phases::default().with(Phase::Request);
        if self.settings.body { phases.with(Phase::RequestBody) } else { phases }
    }

    fn body_limit(&self) -> u64 {
        self.limit
    }

    fn secrets(&self) -> Vec<SecretPlace> {
        vec![SecretPlace::Header(SIGNATURE)]
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        let judged = match phase {
            Phase::RequestBody => self.admit_with_body(exchange, seat),
            _ => self.admit(exchange, seat),
        };
        judged.map_or_else(
            |refused| self.refuse(refused).answer(exchange),
            |verdict| Answer::Ready(Ok(verdict)),
        )
    }
}

impl Hmac {
    fn admit(&self, exchange: &mut Exchange, seat: &mut Seat) -> Result<Verdict, Refused> {
        if let Some(Name(name)) = &self.settings.header {
            let _ = exchange.edit_header(Side::Request, HeaderEdit::Remove(name.as_str()));
        }
        let (inputs, signatures) = (all(exchange, &INPUT)?, all(exchange, &SIGNATURE)?);
        let (Some(inputs), Some(signatures)) = (inputs, signatures) else { return Err(Refused::Unsigned) };
        let (label, text) = input::only(&inputs)?;
        let input = Input::parse(text).ok_or("its `Signature-Input` can't be read")?;
        let signature = input::signature(&signatures, label).ok_or("it has no signature of that label")?;
        let key = input.keyid.and_then(|id| self.keys.get(id)).ok_or("its `keyid` is not known")?;
        let until = self.judge(&input, now())?;
        let base = base::of(exchange, &input)?;
        if !key.verifies(input.alg, base.as_bytes(), &signature)? {
            return Err(Refused::Wrong("its signature is wrong"));
        }
        let id = input.keyid.unwrap_or_default();
        let mark = replays::mark(id, input.nonce, &signature);
        if !self.settings.body {
            self.accept(exchange, key, mark, until)?;
            return Ok(Verdict::Next);
        }
        let digests = match input.components.contains(&DIGEST) {
            true => Digests::of(all(exchange, &HeaderName::from_static(DIGEST))?.as_deref()),
            false => Digests::default(),
        };
        *seat = Some(Box::new(Signed { digests, key: id.to_owned(), mark, until }));
        Ok(Verdict::WantBody)
    }

    /// Nothing counts of a request whose body is another one.
    fn admit_with_body(&self, exchange: &mut Exchange, seat: &mut Seat) -> Result<Verdict, Refused> {
        let signed = seat.take().and_then(|seat| seat.downcast::<Signed>().ok());
        let signed = signed.ok_or("its signature was not looked at")?;
        signed.digests.fit(exchange.request_body.as_deref().unwrap_or_default())?;
        let key = self.keys.get(&signed.key).ok_or("its `keyid` is not known")?;
        self.accept(exchange, key, signed.mark, signed.until)?;
        Ok(Verdict::Next)
    }

    /// It is a good one, if it is the first.
    fn accept(
        &self,
        exchange: &mut Exchange,
        key: &Key,
        mark: replays::Mark,
        until: i64,
    ) -> Result<(), Refused> {
        if !self.settings.replay {
            match self.replays.note(mark, until, now(), self.settings.remember) {
                Seen::First => {}
                Seen::Again => return Err(Refused::Wrong("it came before")),
                Seen::Full => return Err(Refused::Full),
            }
        }
        self.introduce(exchange, key)
    }

    /// Whether it says what it has to. Until when it counts.
    fn judge(&self, input: &Input<'_>, now: i64) -> Result<i64, Refused> {
        let covers = |wanted: &String| input.components.contains(&wanted.as_str());
        if !self.settings.components.iter().all(covers) {
            return Err(Refused::Wrong("it does not cover all that it has to"));
        }
        if self.settings.tag.is_some() && self.settings.tag.as_deref() != input.tag {
            return Err(Refused::Wrong("its `tag` is another one"));
        }
        let created = input.created.ok_or("it does not say when it was `created`")?;
        let window = self.window.as_secs() as i64;
        match now.checked_sub(created) {
            Some(age) if age > window => return Err(Refused::Wrong("it is too old")),
            Some(age) if age >= -window => {}
            _ => return Err(Refused::Wrong("it was `created` in the future")),
        }
        if input.expires.is_some_and(|expires| expires <= now) {
            return Err(Refused::Wrong("it has expired"));
        }
        Ok(created.saturating_add(window))
    }

    fn introduce(&self, exchange: &mut Exchange, key: &Key) -> Result<(), Refused> {
        let unfit = |_| "the consumer's name can't be told";
        exchange.introduce(Consumer::new(&key.consumer).map_err(unfit)?).map_err(unfit)?;
        if let Some(Name(name)) = &self.settings.header {
            let set = HeaderEdit::Set(name.as_str(), &key.consumer);
            exchange.edit_header(Side::Request, set).map_err(unfit)?;
        }
        Ok(())
    }

    fn refuse(&self, refused: Refused) -> Denial {
        let challenge = HeaderValue::from_static("Signature");
        match refused {
            Refused::Unsigned => {
                Denial::unauthorized(challenge, "A signature is needed here.", "it is not signed")
                    .header(ACCEPT, self.accept.clone())
            }
            Refused::Wrong(why) => {
                let why = format!("the signature is not accepted: {why}");
                Denial::unauthorized(challenge, "The signature is not accepted.", why)
                    .header(ACCEPT, self.accept.clone())
            }
            Refused::Full => {
                let detail = "Who asks can't be told at this moment.";
                let why = "as many signatures as may be remembered came within the window (`remember`)";
                Denial::new(StatusCode::SERVICE_UNAVAILABLE, "identity_unavailable", detail, why)
                    .header(header::RETRY_AFTER, HeaderValue::from_static("5"))
            }
        }
    }
}

/// In seconds since 1970.
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64)
}

/// All lines of a header as one (RFC 9421, section 2.1); none: it is not there.
fn all(exchange: &Exchange, name: &HeaderName) -> Result<Option<String>, &'static str> {
    let mut whole: Option<String> = None;
    for value in exchange.request.headers().get_all(name) {
        let value = value.to_str().map_err(|_| "a header that is covered is not ASCII")?.trim();
        match &mut whole {
            None => whole = Some(value.to_owned()),
            Some(whole) => {
                whole.push_str(", ");
                whole.push_str(value);
            }
        }
    }
    Ok(whole)
}
