//! `basic`: lets requests pass whose user and password are known (RFC 7617), and names the consumer after the user.
//!
//! ```toml
//! policies = [{ use = "basic", with = { file = "users.htpasswd", users = { ada = { scopes = ["orders:read"], plan = "gold" } }, scopes = ["orders:read"] } }]
//! ```
//!
//! `htpasswd -B -c users.htpasswd ada` makes such a file; when it changes it is read again. What more there is to know of
//! a user `users` says: scopes, a plan and attributes, which the consumer has then for the policies behind. Whoever is not known
//! gets 401 with a challenge, after the same time whether there is such a user or not. Passwords are slow to
//! check, which is what protects them: it is done beside the workers, by half as many threads at most as there
//! are cores, and what was found is remembered for a while, over reloads too, as a keyed hash. Requests that would have
//! to wait for more than 5 s get 503. Put a `rate-limit` before it where many strangers ask.

mod memory;
mod password;
mod users;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use http::header::{self, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use self::memory::Memory;
use self::users::{User, Users};
use super::denial::Denial;
use super::settings::{Name, SettingsError, Span, check_edit, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Failure, HeaderEdit, Phase, Phases, Policy, Seat, SecretPlace, Side, Verdict};

/// The longest `user:password`, in bytes.
const LONGEST: usize = 1024;

/// `basic`: whose passwords.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `file`: a file as `htpasswd` writes it: a line `user:hash` each, with bcrypt (`htpasswd -B`, a cost of 16 at
    /// most) or argon2id hashes (`$argon2id$...`, 256 MiB at most). 1 MiB at most.
    #[serde(default)]
    file: Option<String>,
    /// `users`: users and hashes of the same kinds, here: `{ ada = "$2y$..." }`, or what else is known of a user of
    /// `file` or of one with a `hash`: `{ ada = { scopes = ["orders:read"], plan = "gold" } }`.
    #[serde(default, deserialize_with = "users::told")]
    users: BTreeMap<String, User>,
    /// `scopes`: what a user has to have, all of it; whoever has not, gets 403. Default: nothing.
    #[serde(default)]
    scopes: Vec<String>,
    /// `realm`: what the challenge calls the place, and browsers show. Default `"api"`.
    #[serde(default = "api")]
    realm: String,
    /// `remember`: how long a password that was right is remembered, so that it need not be checked at each
    /// request. A change of it counts at once all the same. 0s to 1h; default 5m.
    #[serde(default = "five_minutes")]
    remember: Span,
    /// `header`: a header that tells the upstream the user; what the client sent under that name is taken away.
    /// Default: none.
    #[serde(default)]
    header: Option<Name>,
    /// `strip`: whether `Authorization` is taken out of the request. Default `false`.
    #[serde(default)]
    strip: bool,
}

fn api() -> String {
    "api".to_owned()
}

fn five_minutes() -> Span {
    Span(Duration::from_secs(300))
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let Settings { file, users, scopes, realm, remember: Span(remember), header, strip } = read(settings)?;
    let mut known = Users::default();
    if let Some(file) = &file {
        let wrong = |what: String| SettingsError::new("/file", what);
        known.add_file(&materials.folder.join(file)).map_err(wrong)?;
    }
    for (user, told) in &users {
        let wrong = |what: String| SettingsError::new("/users", what);
        known.tell(user, told).map_err(wrong)?;
    }
    if known.is_empty() {
        return Err(SettingsError::new("", "no users: nobody could pass (`file`, `users`)"));
    }
    if remember > memory::LONGEST {
        return Err(SettingsError::new("/remember", "at most 1h"));
    }
    if let Some(Name(name)) = &header {
        check_edit("/header", Side::Request, HeaderEdit::Remove(name.as_str()))?;
    }
    if realm.chars().any(|c| matches!(c, '"' | '\\') || c.is_control()) {
        return Err(SettingsError::new("/realm", "neither quotes nor backslashes nor control characters"));
    }
    let challenge = HeaderValue::try_from(format!("Basic realm=\"{realm}\", charset=\"UTF-8\""))
        .map_err(|_| SettingsError::new("/realm", "it can't be in a header"))?;
    let key = memory::key().ok_or_else(|| SettingsError::new("", "no random numbers are to be had"))?;
    let memory = materials.kept(|| Memory::new(key));
    Ok(Box::new(Basic { users: Arc::new(known), scopes, challenge, header, strip, memory, remember }))
}

struct Basic {
    users: Arc<Users>,
    scopes: Vec<String>,
    challenge: HeaderValue,
    header: Option<Name>,
    strip: bool,
    memory: Arc<Memory>,
    /// For how long what is right is remembered.
    remember: Duration,
}

/// What a request says.
struct Credentials {
    /// `user:password`
    pair: Zeroizing<Vec<u8>>,
    colon: usize,
}

impl Policy for Basic {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn secrets(&self) -> Vec<SecretPlace> {
        vec![SecretPlace::Header(header::AUTHORIZATION)]
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        if let Some(Name(name)) = &self.header {
            let _ = exchange.edit_header(Side::Request, HeaderEdit::Remove(name.as_str()));
        }
        let credentials = match Credentials::of(exchange) {
            Ok(Some(credentials)) => credentials,
            Ok(None) => {
                return self
                    .refuse("A password is needed here.", "there are no credentials")
                    .answer(exchange);
            }
            Err(why) => return self.refuse("The password is not accepted.", why).answer(exchange),
        };
        let Credentials { pair, colon } = &credentials;
        let mark = self.memory.mark(pair, *colon, self.users.written(credentials.user()));
        if let Some(fits) = self.memory.recall(&mark, self.remember) {
            return Answer::Ready(self.decide(exchange, &credentials, Some(fits)));
        }
        Answer::Wait(Box::pin(async move {
            let (users, credentials) = (self.users.clone(), Arc::new(credentials));
            let asked = credentials.clone();
            let fits = password::apart(move || users.fits(asked.user(), asked.password())).await;
            if let Some(fits) = fits {
                self.memory.keep(mark, fits);
            }
            self.decide(exchange, &credentials, fits)
        }))
    }
}

impl Basic {
    /// `fits`: none: it could not be told in time.
    fn decide(
        &self,
        exchange: &mut Exchange,
        credentials: &Credentials,
        fits: Option<bool>,
    ) -> Result<Verdict, Failure> {
        let user = str::from_utf8(credentials.user()).unwrap_or_default();
        let denial = match fits {
            Some(true) => match self.introduce(exchange, user) {
                Ok(()) => return Ok(Verdict::Next),
                Err(denial) => denial,
            },
            Some(false) => self.refuse("The password is not accepted.", "user or password is wrong"),
            None => Denial::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "identity_unavailable",
                "Who asks can't be told at this moment.",
                "too many passwords are being checked",
            )
            .header(header::RETRY_AFTER, HeaderValue::from_static("5")),
        };
        denial.stage(exchange)
    }

    fn introduce(&self, exchange: &mut Exchange, user: &str) -> Result<(), Denial> {
        let unfit = |_| self.refuse("The password is not accepted.", "the user's name is no consumer's");
        let gone = || self.refuse("The password is not accepted.", "the user is not there");
        let consumer = self.users.consumer(user.as_bytes()).cloned().ok_or_else(gone)?;
        let lacks = |wanted: &&String| !consumer.scopes.iter().any(|scope| **scope == ***wanted);
        if let Some(scope) = self.scopes.iter().find(lacks) {
            let why = format!("user `{user}` lacks the scope `{scope}`");
            return Err(Denial::forbidden("You may not use this.", why));
        }
        exchange.introduce(consumer).map_err(unfit)?;
        if let Some(Name(name)) = &self.header {
            exchange.edit_header(Side::Request, HeaderEdit::Set(name.as_str(), user)).map_err(unfit)?;
        }
        if self.strip {
            let _ = exchange.edit_header(Side::Request, HeaderEdit::Remove("authorization"));
        }
        Ok(())
    }

    fn refuse(&self, detail: &'static str, why: &str) -> Denial {
        Denial::unauthorized(self.challenge.clone(), detail, why)
    }
}

impl Credentials {
    fn of(exchange: &Exchange) -> Result<Option<Credentials>, &'static str> {
        let mut values = exchange.request.headers().get_all(header::AUTHORIZATION).iter();
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err("there are several `Authorization`s");
        }
        let (scheme, encoded) = value.to_str().ok().and_then(|text| text.split_once(' ')).unwrap_or_default();
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err("its `Authorization` is of another scheme");
        }
        let encoded = encoded.trim();
        if encoded.len() > LONGEST / 3 * 4 {
            return Err("the credentials are too long");
        }
        let pair = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| "the credentials are not in Base64")?);
        if pair.iter().any(u8::is_ascii_control) || str::from_utf8(&pair).is_err() {
            return Err("the credentials are not text");
        }
        let colon = pair.iter().position(|byte| *byte == b':').ok_or("the credentials have no colon")?;
        Ok(Some(Credentials { pair, colon }))
    }

    fn user(&self) -> &[u8] {
        self.pair.get(..self.colon).unwrap_or_default()
    }

    fn password(&self) -> &[u8] {
        self.pair.get(self.colon + 1..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn credentials(header: &str) -> Result<Option<(String, String)>, &'static str> {
        let mut exchange = Exchange::default();
        exchange.request = Request::get("/").header("authorization", header).body(()).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok(Credentials::of(&exchange)?.map(|found| (text(found.user()), text(found.password()))))
    }

    #[test]
    fn credentials_are_read_as_they_are_written() {
        // RFC 7617, sections 2 and 2.1.
        let pair = |user: &str, password: &str| Ok(Some((user.to_owned(), password.to_owned())));
        assert_eq!(credentials("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), pair("Aladdin", "open sesame"));
        assert_eq!(credentials("bASIC dGVzdDoxMjPCow=="), pair("test", "123£"));
        assert_eq!(credentials("Basic YTpiOmM="), pair("a", "b:c"));
        for wrong in
            ["Bearer x", "Basic", "Basic ", "Basic ???", "Basic YQ==", "Basic YTpiCg==", "Basic YTpi/w=="]
        {
            assert!(credentials(wrong).is_err(), "{wrong}");
        }
        assert!(credentials(&format!("Basic {}", STANDARD.encode("a:".repeat(600)))).is_err());
        assert!(Credentials::of(&Exchange::default()).unwrap_or(None).is_none());
    }
}
