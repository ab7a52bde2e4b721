//! `respond`: answers itself.
//!
//! ```toml
//! policies = [{ use = "respond", with = { status = 503, json = { error = "back soon" }, headers = { retry-after = "60" } } }]
//! ```
//!
//! Which requests are answered is up to its place: on a route with conditions, and behind policies that
//! refuse what they don't let pass. (A route that never has an upstream has a `respond` of its own.)
//!
//! `body`, the texts in `json` and the values of `headers` may have expressions in them (CEL, as in `authorize`):
//! `{ json = { id = "{request.id}", for = "{consumer.id}" } }`. A brace itself is doubled: `{{`. In a `body` whose
//! `content-type` is HTML or XML a value is escaped for texts and quoted attributes, in one of JSON for strings, within
//! their quotes; anywhere else (in a script, say) it stands as it is. `json` needs no such care. A computed body comes with
//! `x-content-type-options: nosniff`. What can't be computed is nothing in `body`, `null` in `json`, and in `headers` there
//! is no such header.

mod computed;

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::Value;

use self::computed::{Body, Computed, Escape};
use super::expression::{Stage, Template};
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
    /// 205 or 304 has none. It may have expressions in braces.
    body: Option<String>,
    /// `json`: any value; it is sent as `application/json`. Its texts, though not its names, may have expressions in
    /// braces.
    json: Option<Value>,
    /// `file`: a file whose content it is, 1 MiB at most, by the ending of its name. It is read again when
    /// it changes. Braces mean nothing in it.
    file: Option<PathBuf>,
    /// `headers`: more of them, like `{ content-type = "text/html" }`. They may have expressions in braces, but for
    /// those that lead a client elsewhere (see `redirect`) and the `content-type` of a computed body. Default: none.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

fn status() -> u16 {
    200
}

pub(super) fn build(settings: &Value, materials: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    let (content, kind) = settings.content(materials)?;
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
    let (fixed, computed) = match content {
        Content::Fixed(body) => (body, None),
        Content::Computed(body) => (Bytes::new(), Some(body)),
    };
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(settings.headers.len());
    let mut computed = Computed { headers: Vec::new(), body: computed };
    for (name, value) in &settings.headers {
        let pointer = format!("/headers/{name}");
        let template =
            Template::new(value, Stage::Request).map_err(|why| SettingsError::new(&pointer, why))?;
        let known = template.fixed().unwrap_or_default();
        check_edit(&pointer, Side::Response, HeaderEdit::Set(name, known))?;
        let header = name.parse().ok().zip(HeaderValue::from_str(known).ok());
        let (name, known) = header.ok_or_else(|| SettingsError::new(&pointer, "not a header"))?;
        match template.fixed() {
            Some(_) => headers.push((name, known)),
            None if name == header::LOCATION || name == header::REFRESH => {
                let message =
                    "an expression in what leads a client elsewhere; `redirect` sees to it where to";
                return Err(SettingsError::new(&pointer, message));
            }
            None if name == header::CONTENT_TYPE && computed.body.is_some() => {
                let message =
                    "an expression, where what it says decides how the body's expressions are escaped";
                return Err(SettingsError::new(&pointer, message));
            }
            None => computed.headers.push((name, template)),
        }
    }
    let computed = Some(computed).filter(|computed| !computed.is_empty()).map(Box::new);
    Ok(Box::new(Respond { fixed: Fixed::new(status, &headers, fixed, kind), computed }))
}

enum Content {
    Fixed(Bytes),
    Computed(Body),
}

impl Settings {
    /// The body, and what kind of one it is.
    fn content(&self, materials: &Materials<'_>) -> Result<(Content, Option<&'static str>), SettingsError> {
        const TEXT: &str = "text/plain; charset=utf-8";
        let wrong = |key: &'static str| move |why: String| SettingsError::new(key, why);
        let (body, kind) = match (&self.body, &self.json, &self.file) {
            (None, None, None) => return Ok((Content::Fixed(Bytes::new()), None)),
            (Some(text), None, None) => {
                let template = Template::new(text, Stage::Request).map_err(wrong("/body"))?;
                (Body::Text(template, Escape::of(self.kind().unwrap_or(TEXT))), TEXT)
            }
            (None, Some(json), None) => {
                (Body::json(json.clone()).map_err(wrong("/json"))?, "application/json")
            }
            (None, None, Some(file)) => {
                let read = Fixed::read(&materials.folder.join(file));
                let (body, kind) = read.map_err(|why| {
                    SettingsError::new("/file", format!("cannot read `{}`: {why}", file.display()))
                })?;
                return Ok((Content::Fixed(body), Some(kind)));
            }
            _ => return Err(SettingsError::new("", "more than one of `body`, `json` and `file`")),
        };
        match body.fixed() {
            None => Ok((Content::Computed(body), Some(kind))),
            Some(fixed) if fixed.len() <= MAX_REPLY => Ok((Content::Fixed(fixed), Some(kind))),
            Some(_) => Err(SettingsError::new("", format!("an answer of more than {MAX_REPLY} bytes"))),
        }
    }

    /// The `Content-Type` that is written, if one is.
    fn kind(&self) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(name, _)| name.eq_ignore_ascii_case("content-type")).map(|(_, kind)| kind.as_str())
    }
}

struct Respond {
    fixed: Fixed,
    /// None: it is always the same.
    computed: Option<Box<Computed>>,
}

impl Policy for Respond {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        let (head, body) = self.fixed.answer();
        let mut reply = Reply { head, body, ..Reply::default() };
        if let Some(computed) = &self.computed
            && let Err(failure) = computed.fill(exchange, &mut reply)
        {
            return Answer::Ready(Err(failure));
        }
        exchange.reply = Some(reply);
        Answer::Ready(Ok(Verdict::Reply))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::plain;
    use serde_json::json;

    fn reply(settings: Value) -> Reply {
        reply_to(settings, "/")
    }

    fn reply_to(settings: Value, target: &str) -> Reply {
        let policy = plain(build, &settings).unwrap();
        let mut exchange = Box::<Exchange>::default();
        *exchange.request.uri_mut() = target.parse().unwrap();
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

    /// What a client may send in the hope that it breaks out.
    const SLY: &str = "/?q=%22%3E%3Cscript%3E'%26%5C%0D%0A";

    #[test]
    fn what_a_client_sends_stays_a_value() {
        let says = |more: Value| {
            let mut settings = json!({ "body": "q=\"{request.arguments.q}\"" });
            settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let reply = reply_to(settings, SLY);
            assert_eq!(reply.head.headers()["x-content-type-options"], "nosniff");
            String::from_utf8(reply.body.to_vec()).unwrap()
        };
        assert_eq!(says(json!({})), "q=\"\"><script>'&\\\r\n\"");
        let html = json!({ "headers": { "Content-Type": "text/html; charset=utf-8" } });
        assert_eq!(says(html), "q=\"&#34;&#62;&#60;script&#62;&#39;&#38;\\\r\n\"");
        let json = says(json!({ "headers": { "content-type": "application/problem+json" } }));
        assert_eq!(json, r#"q="\"><script>'&\\\r\n""#);
        let values =
            json!({ "json": { "a/b": ["{request.arguments.q}", "{{}}", 1], "none": "{claims.sub}" } });
        let values: Value = serde_json::from_slice(&reply_to(values, SLY).body).unwrap();
        assert_eq!(values, json!({ "a/b": ["\"><script>'&\\\r\n", "{}", 1], "none": null }));
        let headers = json!({ "headers": { "x-q": "{request.arguments.q}", "x-none": "{claims.sub}", "x-is": "{request.method}" } });
        let headers = reply_to(headers, SLY).head;
        assert_eq!((headers.headers().len(), &headers.headers()["x-is"]), (1, &"GET".parse().unwrap()));
    }

    #[test]
    fn an_answer_is_bounded() {
        let long = "{request.path}".repeat(400);
        let policy = plain(build, &json!({ "body": long })).unwrap();
        let mut exchange = Box::<Exchange>::default();
        *exchange.request.uri_mut() = format!("/{}", "a".repeat(10_000)).parse().unwrap();
        exchange.enter(Phase::Request, 0);
        let Answer::Ready(answered) = policy.call(Phase::Request, &mut exchange, &mut None) else { panic!() };
        assert!(answered.unwrap_err().reason.contains("more than"), "it does not answer with so much");
    }

    #[test]
    fn mistakes_are_found_at_load() {
        let mistake = |settings| plain(build, &settings).err().map(|error| error.pointer).unwrap();
        assert_eq!(mistake(json!({ "status": 100 })), "/status");
        assert_eq!(mistake(json!({ "status": 204, "body": "" })), "/status");
        assert_eq!(mistake(json!({ "json": 1, "body": "" })), "");
        assert_eq!(mistake(json!({ "body": "{\"a\":1}" })), "/body");
        assert_eq!(mistake(json!({ "json": ["{nobody}"] })), "/json");
        assert_eq!(mistake(json!({ "headers": { "location": "/{request.path}" } })), "/headers/location");
        let unknown = json!({ "headers": { "content-type": "{request.method}" }, "body": "{request.path}" });
        assert_eq!(mistake(unknown), "/headers/content-type");
        assert_eq!(mistake(json!({ "file": "no such file" })), "/file");
        assert_eq!(mistake(json!({ "headers": { "content-length": "1" } })), "/headers/content-length");
    }
}
