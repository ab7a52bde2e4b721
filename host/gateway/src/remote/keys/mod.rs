//! `limen key`: the life of API keys, at `/keys` of the gateway that runs.

mod import;
mod show;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::ask::{Asking, Reply};
use super::{Report, asking, unexpected};
use crate::StartError;

/// A change waits for a disk.
const LIMIT: Duration = Duration::from_secs(30);
/// So many keys are taken over at a time, all of them or none.
const PORTION: usize = 1000;

/// Which gateway, and how its answers are shown.
pub struct Gateway {
    /// Its configuration.
    pub file: PathBuf,
    /// Where it is asked, if that is not what the file says.
    pub admin: Option<SocketAddr>,
    pub as_json: bool,
}

/// What a new key is to be.
pub struct New {
    pub consumer: String,
    pub scopes: Vec<String>,
    pub plan: Option<String>,
    pub metadata: Vec<(String, String)>,
    pub expires: Option<String>,
    pub prefix: Option<String>,
}

impl Gateway {
    pub fn create(&self, new: New) -> Result<Report, StartError> {
        let New { consumer, scopes, plan, metadata, expires, prefix } = new;
        let metadata: Value = metadata.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
        let mut body = json!({ "consumer": consumer, "scopes": scopes, "metadata": metadata });
        if let Some(body) = body.as_object_mut() {
            let optional = [("plan", plan), ("expires", expires), ("prefix", prefix)];
            body.extend(
                optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))),
            );
        }
        let made = self.ask(Method::POST, "/keys", Some(&body))?;
        Ok(self.report(&made, show::made))
    }

    pub fn list(&self, consumer: Option<&str>, state: Option<&str>) -> Result<Report, StartError> {
        let asked = [("consumer", consumer), ("state", state)].into_iter();
        let asked = asked.filter_map(|(name, value)| Some(format!("{name}={}", encoded(value?))));
        let query = asked.collect::<Vec<_>>().join("&");
        let keys = self.ask(Method::GET, &format!("/keys?{query}"), None)?;
        Ok(self.report(&keys, |keys| (show::list(keys), None)))
    }

    pub fn show(&self, id: &str) -> Result<Report, StartError> {
        let key = self.ask(Method::GET, &format!("/keys/{}", encoded(id)), None)?;
        Ok(self.report(&key, |key| (show::one(key), None)))
    }

    pub fn rotate(&self, id: &str, overlap: Option<&str>) -> Result<Report, StartError> {
        let body = overlap.map_or_else(|| json!({}), |overlap| json!({ "overlap": overlap }));
        let made = self.ask(Method::POST, &format!("/keys/{}/rotate", encoded(id)), Some(&body))?;
        Ok(self.report(&made, show::rotated))
    }

    pub fn revoke(&self, id: &str) -> Result<Report, StartError> {
        let key = self.ask(Method::DELETE, &format!("/keys/{}", encoded(id)), None)?;
        Ok(self.report(&key, |key| (show::one(key), None)))
    }

    /// Takes keys over from a file, a portion at a time.
    pub fn import(&self, file: &Path) -> Result<Report, StartError> {
        let import::Found { keys, expired } = import::read(file).map_err(StartError::Machine)?;
        let (mut imported, mut known) = (0, 0);
        for portion in keys.chunks(PORTION) {
            let answer = self.ask(Method::POST, "/keys/import", Some(&json!({ "keys": portion })));
            let answer = answer.map_err(|error| match imported + known {
                0 => error,
                done => StartError::Machine(format!("{error} (of the keys before, {done} are there)")),
            })?;
            imported += answer.get("imported").and_then(Value::as_u64).unwrap_or_default();
            known += answer.get("known").and_then(Value::as_u64).unwrap_or_default();
        }
        let sum = json!({ "imported": imported, "known": known, "expired": expired });
        let mut text = format!("{imported} keys imported, {known} were there already");
        if expired > 0 {
            text.push_str(&format!(", {expired} have expired and were left out"));
        }
        Ok(self.report(&sum, |_| (text, None)))
    }

    fn report(&self, value: &Value, show: impl FnOnce(&Value) -> (String, Option<String>)) -> Report {
        if self.as_json {
            return Report::new(format!("{value:#}"), true);
        }
        let (text, aside) = show(value);
        Report { aside, ..Report::new(text, true) }
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, StartError> {
        let asking: Asking = asking(&self.file, self.admin)?;
        let reply: Reply = asking.send(method, path, body, LIMIT)?;
        if !reply.status.is_success() {
            return Err(unexpected(&reply));
        }
        reply.json().ok_or_else(|| unexpected(&reply))
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
