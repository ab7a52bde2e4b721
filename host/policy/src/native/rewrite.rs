//! `rewrite`: makes another request of a request: path, query, method and host.
//!
//! ```toml
//! [[route]]
//! path     = "/v1/**"
//! upstream = "orders"
//! policies = [{ use = "rewrite", with = { match = "/v1/users/{id}/**", path = "/internal/{id}/{rest}", query = { set = { source = "api" }, remove = ["debug"] } } }]
//! ```
//!
//! Beside the names, `path` may have expressions in braces (CEL, as in `authorize`), and so may the values of `query`:
//! `"/tenants/{claims.tenant}{path}"`. What one comes to is percent-encoded, slashes too, so that it stays one segment or
//! one parameter. Where one of the path can't be computed, or is empty or a dot segment, the client gets 400; where
//! one of a query's values can't, there is no such parameter: what a client says itself never stands in its place.
//! `host` and `method` may have expressions as well (`"{claims.tenant}.internal:8080"`), of the request as it was before.
//! In a host one comes to letters, digits, `-`, `_` and dots and nothing else, never to a port: an expression that is all of
//! it may come to any name. Where no host or no method comes of it, the client gets 400 and the log the reason.
//!
//! What `match` or `regex` does not match stays as it is. Policies behind it, the log and the upstream see
//! the new request, and a `rewrite` of the route leaves its path alone; the route itself was found before.

use std::borrow::Cow;
use std::collections::BTreeMap;

use limen_config::{RoutePath, Template};
use serde::Deserialize;
use serde_json::Value;

use super::denial::Denial;
use super::expression::Template as Computed;
use super::paths::matched;
use super::settings::{SettingsError, read};
use super::{Built, Materials};
use crate::{
    Answer, Astray, EditError, Exchange, HostTemplate, PathTemplate, Phase, Phases, Policy, Seat, Verdict,
};

/// `rewrite`: which requests, and what becomes of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// `match`: which paths, as a route's `path` (`"/v1/{id}"`, `"/v1/**"`). Default: all.
    #[serde(rename = "match")]
    pattern: Option<String>,
    /// `regex`: the same as a regular expression that matches the whole path (`"/v1/(?<id>[0-9]+)"`); its
    /// named groups are names for `path`.
    regex: Option<String>,
    /// `path`: the new path. `{name}` is a parameter of `match` or a group of `regex`, `/{rest}` what `/**`
    /// stood for, `{path}` all of it, as it was sent; anything else in braces is an expression. Default: the
    /// same.
    path: Option<String>,
    /// `prefix`: instead of `path`, what comes in the place of all before `/**` of `match`; `"/"` for
    /// nothing.
    prefix: Option<String>,
    /// `query`: what becomes of the query. Default: the same.
    query: Query,
    /// `method`: the new method; may have expressions. Default: the same.
    method: Option<Computed>,
    /// `host`: the host, with or without a port, that the upstream is asked for, unless the route's or the
    /// upstream's own `host` says otherwise; may have expressions. Default: the same.
    host: Option<String>,
}

/// `query`: removes first, then sets, then adds. Other parameters stay as they were sent. Values may have expressions
/// in braces; a brace itself is doubled.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Query {
    /// `remove`: parameters to take away, whatever their value.
    remove: Vec<String>,
    /// `set`: parameters to have with this value and no other.
    set: BTreeMap<String, Computed>,
    /// `add`: parameters to have with this value beside those that are there.
    add: BTreeMap<String, Computed>,
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let Settings { pattern, regex, path, prefix, query, method, host } = read(settings)?;
    let matched = matched(pattern.as_deref(), regex.as_deref())?;
    let (key, template) = match (path, prefix) {
        (Some(_), Some(_)) => return Err(SettingsError::new("/prefix", "either `path` or `prefix`")),
        (Some(path), None) => ("/path", Some(Template::of_path(&path, &matched))),
        (None, Some(prefix)) => ("/prefix", Some(Template::of_prefix(&prefix, &matched))),
        (None, None) => ("", None),
    };
    let template = template.transpose().map_err(|why| SettingsError::new(key, why))?;
    let path = template.map(|template| PathTemplate::computed(&template.pieces, &matched));
    let path = path.transpose().map_err(|why| SettingsError::new(key, why))?;
    let host = host.as_deref().map(Host::new).transpose()?;
    let rewrite = Rewrite { matched, path, query, method, host };
    rewrite.check()?;
    Ok(Box::new(rewrite))
}

struct Rewrite {
    matched: RoutePath,
    path: Option<PathTemplate>,
    query: Query,
    method: Option<Computed>,
    host: Option<Host>,
}

enum Host {
    /// It was tried when the configuration was loaded.
    Fixed(String),
    Computed(HostTemplate),
}

impl Policy for Rewrite {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        if !self.matched.matches(exchange.request.uri().path()) {
            return Answer::Ready(Ok(Verdict::Next));
        }
        match self.edit(exchange) {
            Ok(()) => Answer::Ready(Ok(Verdict::Next)),
            Err(astray) => Denial::astray(&astray).answer(exchange),
        }
    }
}

impl Rewrite {
    fn edit(&self, exchange: &mut Exchange) -> Result<(), Astray> {
        // Before the path is another one.
        let method = self.method.as_ref().map(|method| method.told(exchange)).transpose();
        let method = method.map_err(Astray::Valueless)?;
        let host = self.host.as_ref().map(|host| host.of(exchange)).transpose()?;
        if let Some(template) = &self.path {
            let path = template.path(exchange, exchange.request.uri().path())?;
            exchange.set_path(&path).map_err(|_| Astray::Unreadable)?;
        }
        if !self.query.is_empty() {
            let query = self.query.of(exchange);
            let query = Some(&*query).filter(|query| !query.is_empty());
            exchange.set_query(query).map_err(|_| Astray::Unreadable)?;
        }
        if let Some(method) = method {
            let unfit = |_| Astray::Valueless("what `method` comes to is none that may be set".to_owned());
            exchange.set_method(&method).map_err(unfit)?;
        }
        if let Some(host) = host {
            exchange.set_authority(&host).map_err(|_| Astray::Host)?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), SettingsError> {
        let mut exchange = Exchange::default();
        exchange.enter(Phase::Request, 0);
        let wrong = |key: &'static str, what: &'static str, text: &str| {
            let message = format!("not {what}: `{text}`");
            move |_: EditError| SettingsError::new(key, message)
        };
        if let Some(method) = self.method.as_ref().and_then(Computed::fixed) {
            exchange.set_method(method).map_err(wrong("/method", "a method that may be set", method))?;
        }
        if let Some(Host::Fixed(host)) = &self.host {
            exchange.set_authority(host).map_err(wrong("/host", "a host", host))?;
        }
        if self.path.is_none() && self.query.is_empty() && self.method.is_none() && self.host.is_none() {
            let message = "it changes nothing; give it `path`, `prefix`, `query`, `method` or `host`";
            return Err(SettingsError::new("", message));
        }
        Ok(())
    }
}

impl Host {
    fn new(text: &str) -> Result<Self, SettingsError> {
        if !text.contains(['{', '}']) {
            return Ok(Host::Fixed(text.to_owned()));
        }
        HostTemplate::new(text).map(Host::Computed).map_err(|why| SettingsError::new("/host", why))
    }

    fn of(&self, exchange: &Exchange) -> Result<Cow<'_, str>, Astray> {
        match self {
            Host::Fixed(host) => Ok(Cow::Borrowed(host)),
            Host::Computed(host) => host.of(exchange).map(Cow::Owned),
        }
    }
}

impl Query {
    fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// What becomes of a query. What nobody names stays as it was sent, even where it is odd.
    fn of(&self, exchange: &Exchange) -> String {
        let query = exchange.request.uri().query().unwrap_or_default();
        let goes = |pair: &str| {
            let name =
                form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name).unwrap_or_default();
            self.remove.iter().any(|it| *it == name) || self.set.contains_key(&*name)
        };
        let stays = query.split('&').filter(|pair| !pair.is_empty() && !goes(pair));
        let mut new = stays.collect::<Vec<_>>().join("&");
        for (name, value) in self.set.iter().chain(&self.add) {
            let Ok(value) = value.told(exchange) else { continue };
            if !new.is_empty() {
                new.push('&');
            }
            new.extend(form_urlencoded::byte_serialize(name.as_bytes()));
            new.push('=');
            new.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::plain;
    use serde_json::json;

    fn rewritten(settings: Value, target: &str) -> Result<String, u16> {
        let policy = plain(build, &settings).unwrap();
        let mut exchange = Box::<Exchange>::default();
        *exchange.request.uri_mut() = target.parse().unwrap();
        exchange.enter(Phase::Request, 0);
        let _ = policy.call(Phase::Request, &mut exchange, &mut None);
        let uri = exchange.request.uri();
        exchange.reply.as_ref().map_or(Ok(uri.to_string()), |reply| Err(reply.head.status().as_u16()))
    }

    #[test]
    fn paths_are_filled_in() {
        let users = || json!({ "match": "/v1/{id}/**", "path": "/i/{id}{path}/{rest}" });
        assert_eq!(rewritten(users(), "/v1/7/a/b?q=1").unwrap(), "/i/7/v1/7/a/b/a/b?q=1");
        assert_eq!(rewritten(users(), "/v1/7").unwrap(), "/i/7/v1/7");
        assert_eq!(rewritten(users(), "/v2/7/a?q").unwrap(), "/v2/7/a?q", "it does not match");
        assert_eq!(rewritten(json!({ "match": "/v1/**", "prefix": "/" }), "/v1/a").unwrap(), "/a");
        assert_eq!(rewritten(json!({ "prefix": "/v1" }), "/a").unwrap(), "/v1/a");
        let regex = json!({ "regex": "/(?<year>[0-9]{4})-(?<month>[0-9]{2})", "path": "/{year}/{month}" });
        assert_eq!(rewritten(regex, "/2026-05").unwrap(), "/2026/05");
        let dots = json!({ "regex": "/(?<a>.*)x(?<b>.*)", "path": "/{a}{b}" });
        assert_eq!(rewritten(dots, "/a/.x./b"), Err(400), "parts of a good path make a bad one");
    }

    #[test]
    fn what_an_expression_comes_to_stays_one_segment_or_one_parameter() {
        let tenant = || json!({ "path": "/t/{request.arguments.tenant}{path}" });
        let asked = |tenant_is: &str| rewritten(tenant(), &format!("/a?tenant={tenant_is}"));
        assert_eq!(asked("x").unwrap(), "/t/x/a?tenant=x");
        for (sly, path) in [
            ("a%2F..%2Fb", "/t/a%2F..%2Fb/a"),
            ("%3Fq%23f", "/t/%3Fq%23f/a"),
            ("%0D%0A", "/t/%0D%0A/a"),
            ("%252e%252e", "/t/%252e%252e/a"),
            ("%C3%A4", "/t/%C3%A4/a"),
        ] {
            assert_eq!(asked(sly).unwrap(), format!("{path}?tenant={sly}"));
        }
        for refused in ["..", ".", "", "%2E%2e"] {
            assert_eq!(asked(refused), Err(400), "{refused}");
        }
        assert_eq!(rewritten(tenant(), "/a"), Err(400), "there is none");
        let query = || json!({ "query": { "set": { "who": "{request.arguments.me}", "brace": "{{" } } });
        assert_eq!(
            rewritten(query(), "/a?me=a%26admin=1&who=root").unwrap(),
            "/a?me=a%26admin=1&brace=%7B&who=a%26admin%3D1"
        );
        assert_eq!(
            rewritten(query(), "/a?who=root").unwrap(),
            "/a?brace=%7B",
            "what a client says never stands in"
        );
    }

    /// The method and the host that are asked for then.
    fn asked(settings: Value, target: &str) -> Result<(String, String), String> {
        let policy = plain(build, &settings).unwrap();
        let mut exchange = Box::<Exchange>::default();
        *exchange.request.uri_mut() = target.parse().unwrap();
        exchange.request.headers_mut().insert("host", "a.example".parse().unwrap());
        exchange.enter(Phase::Request, 0);
        let _ = policy.call(Phase::Request, &mut exchange, &mut None);
        match &exchange.reply {
            None => Ok((exchange.request.method().to_string(), exchange.authority().to_owned())),
            Some(reply) => {
                assert_eq!(reply.head.status(), 400);
                Err(reply.denied.as_ref().unwrap().why.clone())
            }
        }
    }

    #[test]
    fn hosts_and_methods_are_computed_and_stay_what_they_are() {
        let settings = || {
            json!({
                "path": "/new",
                "host": "{request.arguments.t}.internal:8080",
                "method": "{request.path == \"/old\" ? request.arguments.m : \"GET\"}",
            })
        };
        let by = |tenant: &str, method: &str| asked(settings(), &format!("/old?t={tenant}&m={method}"));
        assert_eq!(by("ada", "PATCH").unwrap(), ("PATCH".into(), "ada.internal:8080".into()));
        for sly in ["", "a:1", "u%40b", "a%2Fb", "a%3F", "a%23", "a%0D%0Ab", "%5B::1%5D", "a%20", ".", "a."] {
            let why = by(sly, "GET").unwrap_err();
            assert!(why.contains("host"), "{sly}: {why}");
        }
        for sly in ["CONNECT", "A%20B", "A%0D%0AB", "%C3%A4", "A/1"] {
            let why = by("ada", sly).unwrap_err();
            assert!(why.contains("`method`"), "{sly}: {why}");
        }
        assert!(asked(settings(), "/old?t=ada").is_err(), "there is none");
    }

    #[test]
    fn queries_are_edited_and_the_rest_stays_as_it_was_sent() {
        let query =
            json!({ "query": { "remove": ["debug", "a b"], "set": { "x": "1&2" }, "add": { "y": "ä" } } });
        let new = rewritten(query, "/p?k=%7e&debug&x=9&a+b=1&a%20b=2&y=0&k&&x").unwrap();
        assert_eq!(new, "/p?k=%7e&y=0&k&x=1%262&y=%C3%A4");
        assert_eq!(rewritten(json!({ "query": { "remove": ["a"] } }), "/p?a=1").unwrap(), "/p");
    }

    #[test]
    fn mistakes_are_found_at_load() {
        let mistake = |settings| plain(build, &settings).err().map(|error| error.pointer).unwrap();
        assert_eq!(mistake(json!({})), "");
        assert_eq!(mistake(json!({ "path": "/{id}" })), "/path");
        assert_eq!(mistake(json!({ "path": "/{consumer.name}" })), "/path");
        assert_eq!(mistake(json!({ "path": "/{response.status}" })), "/path");
        assert_eq!(mistake(json!({ "path": "/{request.path" })), "/path");
        assert_eq!(mistake(json!({ "query": { "set": { "a": "{b}" } } })), "/query/set/a");
        assert_eq!(mistake(json!({ "path": "a" })), "/path");
        assert_eq!(mistake(json!({ "regex": "(", "path": "/" })), "/regex");
        assert_eq!(mistake(json!({ "match": "/a", "prefix": "/b" })), "/prefix");
        assert_eq!(mistake(json!({ "path": "/b", "prefix": "/b" })), "/prefix");
        assert_eq!(mistake(json!({ "method": "CONNECT" })), "/method");
        assert_eq!(mistake(json!({ "method": "{claims.method" })), "/method");
        assert_eq!(mistake(json!({ "host": "a@b" })), "/host");
        assert_eq!(mistake(json!({ "host": "u@{claims.tenant}" })), "/host");
        assert_eq!(mistake(json!({ "host": "{consumer.name}" })), "/host");
    }
}
