//! `respond`: answers itself, always the same.
//!
//! ```toml
//! policies = [{ use = "respond", with = { status = 503, json = { error = "back soon" }, headers = { retry-after = "60" } } }]
//! ```
//!
//! Which requests are answered is up to its place: on a route with conditions, and behind policies that
//! refuse what they don't let pass. (A route that never has an upstream has a `respond` of its own.)

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use super::settings::{SettingsError, check_edit, read};
use super::{Built, Materials};
use crate::{
    Answer, Exchange, Fixed, HeaderEdit, MAX_REPLY, Phase, Phases, Policy, Reply, Seat, Side, Verdict,
};

/// `respond`: the answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `status`: 200 to 599. Default 200.
    #[serde(default = "status")]
    status: u16,
    /// `body`: its text, as `text/plain; charset=utf-8`. One of `body`, `json` and `file` at most; a 204,
    /// 205 or 304 has none.
    body: Option<String>,
    /// `json`: any value; it is sent as `application/json`.
    json: Option<Value>,
    /// `file`: a file whose content it is, 1 MiB at most, by the ending of its name. It is read again when
    /// it changes.
    file: Option<PathBuf>,
    /// `headers`: more of them, like `{ content-type = "text/html" }`. Default: none.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn status() -> u16 {
    200
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    let (body, kind) = settings.content(materials)?;
    let status =
        StatusCode::from_u16(settings.status).ok().filter(|status| (200..600).contains(&status.as_u16()));
    let Some(status) = status else {
        let message = format!("not a status from 200 to 599: {}", settings.status);
        return Err(SettingsError::new("/status", message));
    };
    let bodiless =
        matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED);
    if bodiless && kind.is_some() {
        return Err(SettingsError::new("/status", format!("a {} has no body", status.as_u16())));
    }
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(settings.headers.len());
    for (name, value) in &settings.headers {
        let pointer = format!("/headers/{name}");
        check_edit(&pointer, Side::Response, HeaderEdit::Set(name, value))?;
        let header = name.parse().ok().zip(HeaderValue::from_str(value).ok());
        headers.push(header.ok_or_else(|| SettingsError::new(&pointer, "not a header"))?);
    }
    Ok(Box::new(Respond(Fixed::new(status, &headers, body, kind))))
}

impl Settings {
    /// The body, and what kind of one it is.
    fn content(&self, materials: &Materials<'_>) -> Result<(Bytes, Option<&'static str>), SettingsError> {
        let (body, kind) = match (&self.body, &self.json, &self.file) {
            (None, None, None) => return Ok((Bytes::new(), None)),
            (Some(text), None, None) => (Bytes::from(text.clone()), "text/plain; charset=utf-8"),
            (None, Some(json), None) => (Bytes::from(json.to_string()), "application/json"),
            (None, None, Some(file)) => {
                let read = Fixed::read(&materials.folder.join(file));
                read.map_err(|why| {
                    SettingsError::new("/file", format!("cannot read `{}`: {why}", file.display()))
                })?
            }
            _ => return Err(SettingsError::new("", "more than one of `body`, `json` and `file`")),
        };
        if body.len() > MAX_REPLY {
            return Err(SettingsError::new("", format!("an answer of more than {MAX_REPLY} bytes")));
        }
        Ok((body, Some(kind)))
    }
}

struct Respond(Fixed);

impl Policy for Respond {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        let (head, body) = self.0.answer();
        exchange.reply = Some(Reply { head, body, ..Reply::default() });
        Answer::Ready(Ok(Verdict::Reply))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::plain;
    use serde_json::json;

    fn reply(settings: Value) -> Reply {
        let policy = plain(build, &settings).unwrap();
        let mut exchange = Box::<Exchange>::default();
        exchange.enter(Phase::Request, 0);
        let _ = policy.call(Phase::Request, &mut exchange, &mut None);
        exchange.reply.unwrap()
    }

    #[test]
    fn it_answers_with_what_is_written() {
        let plain = reply(json!({ "body": "gone\n", "status": 410, "headers": { "x-a": "1" } }));
        assert_eq!((plain.head.status().as_u16(), &*plain.body), (410, &b"gone\n"[..]));
        assert_eq!(plain.head.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(plain.head.headers()["x-a"], "1");
        let json =
            reply(json!({ "json": [1, { "a": null }], "headers": { "content-type": "application/x+json" } }));
        assert_eq!(
            (&*json.body, &json.head.headers()["content-type"]),
            (&br#"[1,{"a":null}]"#[..], &"application/x+json".parse().unwrap())
        );
        assert_eq!(reply(json!({ "status": 204 })).head.headers().len(), 0);
    }

    #[test]
    fn mistakes_are_found_at_load() {
        let mistake = |settings| plain(build, &settings).err().map(|error| error.pointer).unwrap();
        assert_eq!(mistake(json!({ "status": 100 })), "/status");
        assert_eq!(mistake(json!({ "status": 204, "body": "" })), "/status");
        assert_eq!(mistake(json!({ "json": 1, "body": "" })), "");
        assert_eq!(mistake(json!({ "file": "no such file" })), "/file");
        assert_eq!(mistake(json!({ "headers": { "content-length": "1" } })), "/headers/content-length");
    }
}
