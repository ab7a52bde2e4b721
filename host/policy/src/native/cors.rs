//! `cors`: lets web pages of other origins use a route (the CORS protocol of the Fetch standard).
//!
//! ```toml
//! policies = [{ use = "cors", with = { origins = ["https://app.example.com"], credentials = true } }]
//! ```
//!
//! It answers preflights itself, so it stands before policies that ask who it is: a preflight carries
//! neither tokens nor keys. (A route with `methods` has to have `"OPTIONS"` among them.) What an origin may
//! not do its preflight learns by a 403; a request of such an origin goes on, and its browser keeps the
//! response to itself, for it has no `Access-Control-Allow-Origin`. What the upstream says of CORS is
//! taken away.

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::denial::Denial;
use super::settings::{Name, SettingsError, Span, check_edit, read};
use super::{Built, Materials};
use crate::{Answer, Change, Exchange, HeaderEdit, Phase, Phases, Policy, Reply, Seat, Side, Verdict};

/// What an upstream may have said of CORS.
const SAID: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

/// `cors`: who may ask, and what.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `origins` (required): `"https://app.example.com"`, with the port if it is not the scheme's own;
    /// `"https://*.example.com"` for all names below; `"*"` for all origins.
    origins: Vec<String>,
    /// `methods`: what may be asked beside `GET`, `HEAD` and `POST`, which pages may anyway; `["*"]`: all.
    /// Default `["PUT", "PATCH", "DELETE"]`.
    #[serde(default = "methods")]
    methods: Vec<String>,
    /// `headers`: request headers that pages may send beside the harmless ones; `["*"]`: all.
    /// Default `["authorization", "content-type"]`.
    #[serde(default = "headers")]
    headers: Vec<String>,
    /// `expose`: response headers that pages may read beside the harmless ones. Default: none.
    #[serde(default)]
    expose: Vec<Name>,
    /// `credentials`: whether pages may send cookies and the like; not with `origins = ["*"]`.
    /// Default `false`.
    #[serde(default)]
    credentials: bool,
    /// `max_age`: how long a browser may keep the answer to a preflight; most keep it two hours at most.
    /// Default `"10m"`.
    #[serde(default = "max_age")]
    max_age: Span,
}

fn methods() -> Vec<String> {
    ["PUT", "PATCH", "DELETE"].map(str::to_owned).into()
}

fn headers() -> Vec<String> {
    ["authorization", "content-type"].map(str::to_owned).into()
}

fn max_age() -> Span {
    Span(std::time::Duration::from_secs(600))
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    if settings.origins.is_empty() {
        return Err(SettingsError::new("/origins", "no origin: nobody could ask"));
    }
    let is_everybody = settings.origins.iter().any(|origin| origin == "*");
    if is_everybody && settings.credentials {
        let message = "`credentials` with `origins = [\"*\"]` would let every page act for its visitors (Fetch, 3.3.5); name the origins";
        return Err(SettingsError::new("/credentials", message));
    }
    let origins = settings.origins.iter().enumerate();
    let origins = origins.map(|(at, origin)| Origin::read(&format!("/origins/{at}"), origin));
    let origins: Vec<_> = origins.collect::<Result<_, _>>()?;
    let methods = Listed::new("/methods", &settings.methods, str::to_owned, &["GET", "HEAD", "POST"])?;
    let headers = Listed::new("/headers", &settings.headers, str::to_ascii_lowercase, &[])?;
    let expose: Vec<_> = settings.expose.iter().map(|Name(name)| name.as_str()).collect();
    Ok(Box::new(Cors {
        is_everybody,
        origins,
        methods,
        headers,
        expose: (!expose.is_empty()).then(|| expose.join(", ")),
        credentials: settings.credentials,
        max_age: HeaderValue::from(settings.max_age.0.as_secs()),
    }))
}

struct Cors {
    is_everybody: bool,
    origins: Vec<Origin>,
    methods: Listed,
    headers: Listed,
    expose: Option<String>,
    credentials: bool,
    max_age: HeaderValue,
}

impl Policy for Cors {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request).with(Phase::Response)
    }

    fn looks_back(&self) -> bool {
        false
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, seat: &'a mut Seat) -> Answer<'a> {
        match phase {
            Phase::Request => self.before(exchange, seat),
            _ => self.after(exchange, seat),
        }
    }
}

impl Cors {
    /// Answers a preflight; what is none goes on. Whose pages may read the response is kept for then.
    fn before(&self, exchange: &mut Exchange, seat: &mut Seat) -> Answer<'static> {
        let head = exchange.request.headers();
        let origin = head.get(header::ORIGIN).filter(|origin| !self.is_everybody && self.allows(origin));
        *seat = origin.map(|origin| Box::new(origin.clone()) as _);
        let (Some(origin), Some(method)) =
            (head.get(header::ORIGIN), head.get(header::ACCESS_CONTROL_REQUEST_METHOD))
        else {
            return Answer::Ready(Ok(Verdict::Next));
        };
        if exchange.request.method() != Method::OPTIONS {
            return Answer::Ready(Ok(Verdict::Next));
        }
        let asked: Vec<_> = head.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter().collect();
        let why = if !self.allows(origin) {
            "no such origin may ask"
        } else if !self.methods.has(method, str::to_owned) {
            "this method may not be used"
        } else if !asked.iter().all(|list| self.headers.has(list, str::to_ascii_lowercase)) {
            "one of these headers may not be sent"
        } else {
            return self.agree(exchange);
        };
        let why = format!("preflight of {origin:?} for {method:?} with {asked:?}: {why}");
        // That it varies by origin is said of every response.
        Denial::new(StatusCode::FORBIDDEN, "cors", "Pages of this origin may not ask this.", why)
            .answer(exchange)
    }

    /// The answer to a preflight of an origin that may ask what it wants to.
    fn agree(&self, exchange: &mut Exchange) -> Answer<'static> {
        let mut reply = Reply::status(StatusCode::NO_CONTENT);
        let asked = exchange.request.headers();
        let headers = reply.head.headers_mut();
        for (name, of) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, header::ACCESS_CONTROL_REQUEST_METHOD),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, header::ACCESS_CONTROL_REQUEST_HEADERS),
        ] {
            // A `*` says nothing to a request with credentials; what was asked for always does.
            for value in asked.get_all(of) {
                headers.append(name.clone(), value.clone());
            }
        }
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        let vary = "access-control-request-method, access-control-request-headers";
        headers.insert(header::VARY, HeaderValue::from_static(vary));
        exchange.reply = Some(reply);
        Answer::Ready(Ok(Verdict::Reply))
    }

    /// Says on the response, also on that to a preflight, whose pages may read it.
    fn after(&self, exchange: &mut Exchange, seat: &mut Seat) -> Answer<'static> {
        let is_preflight = exchange.response_is_local
            && exchange.response.headers().contains_key(header::ACCESS_CONTROL_MAX_AGE);
        for name in SAID.iter().filter(|_| !is_preflight) {
            change(exchange, name.clone(), Change::Remove);
        }
        if self.is_everybody {
            let everybody = Change::Set(HeaderValue::from_static("*"));
            change(exchange, header::ACCESS_CONTROL_ALLOW_ORIGIN, everybody);
            return self.expose(exchange, is_preflight);
        }
        change(exchange, header::VARY, Change::Add(HeaderValue::from_static("origin")));
        let Some(origin) = seat.take().and_then(|seat| seat.downcast::<HeaderValue>().ok()) else {
            return Answer::Ready(Ok(Verdict::Next));
        };
        change(exchange, header::ACCESS_CONTROL_ALLOW_ORIGIN, Change::Set(*origin));
        if self.credentials {
            let yes = Change::Set(HeaderValue::from_static("true"));
            change(exchange, header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        self.expose(exchange, is_preflight)
    }

    fn expose(&self, exchange: &mut Exchange, is_preflight: bool) -> Answer<'static> {
        if let Some(expose) = self.expose.as_ref().filter(|_| !is_preflight) {
            let edit = HeaderEdit::Set("access-control-expose-headers", expose);
            let _ = exchange.edit_header(Side::Response, edit); // it was tried at load
        }
        Answer::Ready(Ok(Verdict::Next))
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        self.is_everybody || origin.to_str().is_ok_and(|origin| self.origins.iter().any(|one| one.is(origin)))
    }
}

/// There is room for all of them.
fn change(exchange: &mut Exchange, name: HeaderName, change: Change) {
    let _ = exchange.change_header(Side::Response, name, change);
}

/// An origin, or all below a name.
#[derive(Debug)]
enum Origin {
    /// As browsers write it (RFC 6454, section 6.2).
    Exactly(String),
    /// "https://", and ".example.com" with the port.
    Below { scheme: String, end: String },
}

impl Origin {
    fn read(pointer: &str, text: &str) -> Result<Self, SettingsError> {
        if text == "*" || text == "null" {
            return Ok(Origin::Exactly(text.to_owned()));
        }
        let wrong = || {
            let message = format!("not an origin like \"https://app.example.com\": `{text}`");
            SettingsError::new(pointer, message)
        };
        let (scheme, host) = text.split_once("://").ok_or_else(wrong)?;
        check_edit(pointer, Side::Response, HeaderEdit::Set("access-control-allow-origin", text))?;
        let name = host.strip_prefix("*.").unwrap_or(host);
        let is_default = [("http", ":80"), ("https", ":443")];
        if is_default.iter().any(|(of, port)| *of == scheme && name.ends_with(port)) {
            return Err(SettingsError::new(
                pointer,
                format!("browsers leave out the port that is the scheme's own: `{text}`"),
            ));
        }
        if scheme.is_empty() || name.is_empty() || name.contains(['*', '/', '@', '?', '#', ' ']) {
            return Err(wrong());
        }
        let (scheme, host) = (scheme.to_ascii_lowercase(), host.to_ascii_lowercase());
        Ok(match host.strip_prefix('*') {
            Some(end) => Origin::Below { scheme: format!("{scheme}://"), end: end.to_owned() },
            None => Origin::Exactly(format!("{scheme}://{host}")),
        })
    }

    fn is(&self, origin: &str) -> bool {
        match self {
            Origin::Exactly(one) => one == origin,
            Origin::Below { scheme, end } => origin
                .strip_prefix(&**scheme)
                .and_then(|host| host.strip_suffix(&**end))
                .is_some_and(|below| !below.is_empty() && !below.contains(['/', '@', ':'])),
        }
    }
}

/// Methods or headers that pages may use; none: all.
struct Listed(Option<Vec<String>>);

impl Listed {
    fn new(
        pointer: &str,
        names: &[String],
        spell: fn(&str) -> String,
        always: &[&str],
    ) -> Result<Self, SettingsError> {
        for (at, name) in names.iter().enumerate() {
            // Methods are tokens as headers' names are (RFC 9110, sections 5.1 and 9.1).
            name.parse::<HeaderName>().map_err(|_| {
                SettingsError::new(&format!("{pointer}/{at}"), format!("neither \"*\" nor a name: `{name}`"))
            })?;
        }
        if names.iter().any(|name| name == "*") {
            return Ok(Listed(None));
        }
        let always = always.iter().map(|name| (*name).to_owned());
        Ok(Listed(Some(names.iter().map(|name| spell(name)).chain(always).collect())))
    }

    /// Whether each of a header's comma-separated names is one of them.
    fn has(&self, list: &HeaderValue, spell: fn(&str) -> String) -> bool {
        let Some(known) = &self.0 else { return true };
        list.to_str().is_ok_and(|list| {
            let mut names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.all(|name| known.contains(&spell(name)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::plain;
    use serde_json::json;

    #[test]
    fn origins_are_exact_or_below_a_name() {
        let is = |pattern, origin| Origin::read("", pattern).unwrap().is(origin);
        assert!(is("https://App.example.com", "https://app.example.com"));
        assert!(!is("https://app.example.com", "http://app.example.com"));
        assert!(!is("https://app.example.com", "https://app.example.com.evil.example"));
        assert!(!is("https://app.example.com", "https://app.example.com:8443"));
        assert!(is("https://*.example.com", "https://a.b.example.com"));
        for origin in [
            "https://example.com",
            "https://.example.com",
            "https://evilexample.com",
            "https://evil/.example.com",
            "https://a:1.example.com",
            "https://a.example.com:1",
        ] {
            assert!(!is("https://*.example.com", origin), "{origin}");
        }
        assert!(is("http://localhost:3000", "http://localhost:3000") && is("null", "null"));
    }

    #[test]
    fn mistakes_are_found_at_load() {
        let mistake = |settings| {
            let error = plain(build, &settings).err();
            error.map(|error| (error.pointer, error.message)).unwrap_or_default()
        };
        assert!(mistake(json!({})).1.contains("missing field `origins`"));
        assert_eq!(mistake(json!({ "origins": ["*"], "credentials": true })).0, "/credentials");
        for origin in [
            "app.example.com",
            "https://",
            "https://a/b",
            "https://a.*.com",
            "https://*",
            "https://a b",
            "https://a:443",
            "https://a\n",
        ] {
            assert_eq!(mistake(json!({ "origins": ["https://a", origin] })).0, "/origins/1", "{origin}");
        }
        assert_eq!(mistake(json!({ "origins": ["*"], "methods": ["A B"] })).0, "/methods/0");
        assert_eq!(mistake(json!({ "origins": ["*"], "max_age": "10" })).0, "/max_age");
    }
}
