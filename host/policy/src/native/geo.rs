//! `geo`: lets requests pass, or not, by the country of their client's address.
//!
//! ```toml
//! policies = [{ use = "geo", with = { database = "country.mmdb", allow = ["DE", "FR"], header = "x-country" } }]
//! ```
//!
//! The country is what a database in MaxMind's format says (GeoLite2-Country, GeoIP2-City, DB-IP and others), by its
//! code (ISO 3166-1, two letters). The client is who it is for `ip`. Whoever may not pass gets 403. The file is
//! read when it has changed, and is kept in memory.

use std::fs::Metadata;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use maxminddb::{Reader, path};
use serde::Deserialize;
use serde_json::Value;

use super::denial::Denial;
use super::settings::{Name, SettingsError, check_edit, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, HeaderEdit, Phase, Phases, Policy, Seat, Side, Verdict};

/// `geo`: by country.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `database` (required): the path of the file; 1 GiB at most.
    database: PathBuf,
    /// `allow`: codes of countries that may pass, and no others. Default: all may.
    allow: Option<Vec<Country>>,
    /// `deny`: codes of countries that may not. Default: none.
    #[serde(default)]
    deny: Vec<Country>,
    /// `unknown`: whether an address may pass whose country the database doesn't say, as private ones: `"allow"`
    /// or `"deny"`. Default: `"deny"` with an `allow`, else `"allow"`.
    unknown: Option<Unknown>,
    /// `header`: a header that tells the upstream the code; what the client sent under this name is taken away.
    /// Default: none.
    header: Option<Name>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Unknown {
    Allow,
    Deny,
}

/// A country's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Country([u8; 2]);

impl Country {
    fn new(code: &str) -> Option<Self> {
        let code: [u8; 2] = code.as_bytes().try_into().ok()?;
        code.iter()
            .all(u8::is_ascii_alphabetic)
            .then(|| Country(code.map(|letter| letter.to_ascii_uppercase())))
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Country::new(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("not the code of a country like \"DE\" (ISO 3166-1): `{text}`"))
        })
    }
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    if settings.allow.is_none() && settings.deny.is_empty() && settings.header.is_none() {
        let message = "it has neither `allow` nor `deny` nor `header`, and would do nothing";
        return Err(SettingsError::new("", message));
    }
    if let Some(Name(name)) = &settings.header {
        check_edit("/header", Side::Request, HeaderEdit::Set(name.as_str(), "DE"))?;
    }
    let opened = materials.kept(Opened::default);
    let database = opened.database(&materials.folder.join(&settings.database));
    let database = database.map_err(|message| SettingsError::new("/database", message))?;
    let usual = if settings.allow.is_some() { Unknown::Deny } else { Unknown::Allow };
    let lets_unknown = settings.unknown.unwrap_or(usual) == Unknown::Allow;
    Ok(Box::new(Geo { settings, lets_unknown, database, _opened: opened }))
}

/// The largest database, in bytes.
const LARGEST: u64 = 1 << 30;

type Database = Reader<Vec<u8>>;

/// The database as it was read last: a reload that is about something else doesn't read it again.
#[derive(Default)]
struct Opened(Mutex<Option<(PathBuf, Look, Arc<Database>)>>);

/// How a file looks.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look(Option<SystemTime>, u64);

impl Opened {
    fn database(&self, file: &Path) -> Result<Arc<Database>, String> {
        let unreadable = |what: &dyn std::fmt::Display| format!("could not read {}: {what}", file.display());
        let found: Metadata = std::fs::metadata(file).map_err(|error| unreadable(&error))?;
        if found.len() > LARGEST {
            return Err(unreadable(&"it is larger than 1 GiB"));
        }
        let look = Look(found.modified().ok(), found.len());
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, _, database)) =
            opened.as_ref().filter(|(known, seen, _)| known == file && *seen == look)
        {
            return Ok(database.clone());
        }
        let database = Reader::open_readfile(file).map_err(|error| unreadable(&error))?;
        if database.lookup(IpAddr::from([192, 0, 2, 1])).is_err() {
            return Err(unreadable(&"it is damaged"));
        }
        let database = Arc::new(database);
        *opened = Some((file.to_owned(), look, database.clone()));
        Ok(database)
    }
}

struct Geo {
    settings: Settings,
    lets_unknown: bool,
    database: Arc<Database>,
    /// Keeps it for the next reload.
    _opened: Arc<Opened>,
}

impl Policy for Geo {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        let address = exchange.client.address.ip().to_canonical();
        let country = self.country(address);
        if let Some(Name(name)) = &self.settings.header {
            let code = country.as_ref().and_then(|Country(code)| str::from_utf8(code).ok());
            let edit = match code {
                Some(code) => HeaderEdit::Set(name.as_str(), code),
                None => HeaderEdit::Remove(name.as_str()),
            };
            let _ = exchange.edit_header(Side::Request, edit); // it was tried at load
        }
        match self.refuses(country) {
            None => Answer::Ready(Ok(Verdict::Next)),
            Some(why) => {
                let code = country.map_or_else(
                    || "unknown".into(),
                    |Country(code)| String::from_utf8_lossy(&code).into_owned(),
                );
                let why = format!("the address {address} is in a country ({code}) that {why}");
                Denial::forbidden("This is not to be had where you are.", why).answer(exchange)
            }
        }
    }
}

impl Geo {
    fn country(&self, address: IpAddr) -> Option<Country> {
        let found = self.database.lookup(address).ok()?;
        let code =
            |key| found.decode_path::<&str>(&path![key, "iso_code"]).ok().flatten().and_then(Country::new);
        // Where the address is, else where whoever has it is registered.
        code("country").or_else(|| code("registered_country"))
    }

    fn refuses(&self, country: Option<Country>) -> Option<&'static str> {
        let Settings { allow, deny, .. } = &self.settings;
        match country {
            None if self.lets_unknown => None,
            None => Some("is not known"),
            Some(country) if deny.contains(&country) => Some("is in `deny`"),
            Some(country) => match allow {
                Some(allow) if !allow.contains(&country) => Some("is not in `allow`"),
                _ => None,
            },
        }
    }
}
