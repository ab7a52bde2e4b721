//! `redirect`: sends clients elsewhere.
//!
//! ```toml
//! policies = [{ use = "redirect", with = { match = "/old/**", to = "https://www.example.com/new/{rest}" } }]
//! ```
//!
//! What `match` or `regex` does not match goes on. The names in `to` are as in `redirect` of a route, which
//! is what a route needs that never does anything else. Here `to` may also have expressions (CEL, as in `authorize`):
//! `"/{claims.tenant}/{rest}"`, `"https://id.example.com/login?next={request.path}"`. What one comes to is
//! percent-encoded, slashes too, so that it stays one segment or one parameter. In a host
//! (`"https://{claims.region}.example.com/{rest}"`) it may be letters, digits, `-`, `_` and dots and nothing else: never a
//! port or a user. Behind the last one a dot and a domain have to be written, so that the end of the host is none of a
//! request's: let it be a domain of yours, not one like `.com` under which anybody can have a name. Where one can't be
//! computed, or is empty, a dot segment in a path or no part of a host, the client gets 400 and the log the reason.

use http::StatusCode;
use http::header;
use limen_config::{RoutePath, Template};
use serde::Deserialize;
use serde_json::Value;

use super::denial::Denial;
use super::paths::matched;
use super::settings::{SettingsError, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, Location, Phase, Phases, Policy, Reply, Seat, Verdict};

/// `redirect`: who is sent where.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// `match`: which paths, as a route's `path` (`"/old/{id}"`, `"/old/**"`). Default: all.
    #[serde(rename = "match")]
    pattern: Option<String>,
    /// `regex`: the same as a regular expression that matches the whole path; its named groups are names.
    regex: Option<String>,
    /// `to` (required): a path (`"/new/{rest}"`) or a URL. `{name}` is a parameter of `match` or a group of
    /// `regex`, `/{rest}` what `/**` stood for, `{path}` all of the path, and in the place of a URL's host
    /// `{host}` is the host that was asked for. All as it was sent; a path can't lead to another host. Anything
    /// else in braces is an expression.
    to: String,
    /// `status`: 301, 302, 303, 307 or 308. Default 308.
    #[serde(default = "status")]
    status: u16,
    /// `query`: `"keep"` adds the request's own to `to`, `"drop"` does not. Default `"keep"`.
    #[serde(default)]
    query: Query,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Query {
    #[default]
    Keep,
    Drop,
}

fn status() -> u16 {
    308
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let Settings { pattern, regex, to, status, query } = read(settings)?;
    let matched = matched(pattern.as_deref(), regex.as_deref())?;
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        let message = format!("not the status of a redirect (301, 302, 303, 307 or 308): {status}");
        return Err(SettingsError::new("/status", message));
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::PERMANENT_REDIRECT);
    let to = Template::of_location(&to, &matched)
        .map_err(|why| SettingsError::new("/to", format!("{why}: `{to}`")))?;
    let to = Location::computed(&to, &matched, query == Query::Keep);
    let to = to.map_err(|why| SettingsError::new("/to", why))?;
    Ok(Box::new(Redirect { matched, to, status }))
}

struct Redirect {
    matched: RoutePath,
    to: Location,
    status: StatusCode,
}

impl Policy for Redirect {
    fn phases(&self) -> Phases {
        Phases::default().with(Phase::Request)
    }

    fn call<'a>(&'a self, _: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        let path = exchange.request.uri().path();
        if !self.matched.matches(path) {
            return Answer::Ready(Ok(Verdict::Next));
        }
        match self.to.of(exchange, path) {
            Ok(location) => {
                let mut reply = Reply::status(self.status);
                reply.head.headers_mut().insert(header::LOCATION, location);
                exchange.reply = Some(reply);
                Answer::Ready(Ok(Verdict::Reply))
            }
            Err(astray) => Denial::astray(&astray).answer(exchange),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::plain;
    use serde_json::json;

    fn location(settings: Value, target: &str) -> Option<String> {
        let policy = plain(build, &settings).unwrap();
        let mut exchange = Box::<Exchange>::default();
        *exchange.request.uri_mut() = target.parse().unwrap();
        exchange.request.headers_mut().insert("host", "a.example:8080".parse().unwrap());
        exchange.enter(Phase::Request, 0);
        let _ = policy.call(Phase::Request, &mut exchange, &mut None);
        let reply = exchange.reply.filter(|reply| reply.head.status() != 400)?;
        Some(reply.head.headers()["location"].to_str().unwrap().to_owned())
    }

    #[test]
    fn what_matches_is_sent_elsewhere() {
        let old = || json!({ "match": "/old/**", "to": "https://{host}/new/{rest}" });
        assert_eq!(location(old(), "/old/a%2Fb?c=1").as_deref(), Some("https://a.example/new/a%2Fb?c=1"));
        assert_eq!(location(old(), "/older"), None);
        let id = json!({ "regex": "/u/(?<id>[0-9]+)", "to": "/users/{id}", "query": "drop" });
        assert_eq!(location(id.clone(), "/u/7?c=1").as_deref(), Some("/users/7"));
        assert_eq!(location(id, "/u/x"), None);
    }

    #[test]
    fn a_path_never_becomes_a_host() {
        let path = json!({ "match": "/go/**", "to": "/{rest}" });
        assert_eq!(location(path, "/go//evil.example").as_deref(), Some("/evil.example"));
    }

    #[test]
    fn what_an_expression_comes_to_stays_one_segment_or_one_parameter() {
        let to = |to: &str| json!({ "match": "/go/**", "to": to, "query": "drop" });
        let path = to("/{request.arguments.to}/x");
        let sent = |asked: &str| location(path.clone(), &format!("/go?to={asked}"));
        assert_eq!(sent("ada").as_deref(), Some("/ada/x"));
        assert_eq!(sent("%2F%2Fevil.example").as_deref(), Some("/%2F%2Fevil.example/x"));
        assert_eq!(sent("%5C%5Cevil.example").as_deref(), Some("/%5C%5Cevil.example/x"));
        assert_eq!(sent("a%0D%0Aset-cookie:b=c").as_deref(), Some("/a%0D%0Aset-cookie%3Ab%3Dc/x"));
        assert_eq!(sent("a?b%23c%252e").as_deref(), Some("/a%3Fb%23c%252e/x"));
        for refused in ["", "..", "."] {
            assert_eq!(sent(refused), None, "{refused}");
        }
        assert_eq!(location(path.clone(), "/go"), None, "there is no such argument");
        let query =
            to("https://id.example/login?next={request.arguments.to}&q={request.method == \"GET\" ? 1 : 2}");
        let sent = |asked: &str| location(query.clone(), &format!("/go?to={asked}"));
        assert_eq!(sent("/a%26b=..").as_deref(), Some("https://id.example/login?next=%2Fa%26b%3D..&q=1"));
        assert_eq!(sent("").as_deref(), Some("https://id.example/login?next=&q=1"));
    }

    #[test]
    fn what_an_expression_comes_to_stays_a_part_of_the_host() {
        let to = |to: &str| json!({ "match": "/go/**", "to": to, "query": "drop" });
        let region = to("https://{request.arguments.r}.example.com:8443/{rest}?a={request.method}");
        let sent = |asked: &str| location(region.clone(), &format!("/go/x?r={asked}"));
        assert_eq!(sent("eu-1").as_deref(), Some("https://eu-1.example.com:8443/x?a=GET"));
        assert_eq!(sent("evil.com").as_deref(), Some("https://evil.com.example.com:8443/x?a=GET"));
        for sly in [
            "",
            ".",
            "a.",
            ".a",
            "evil.com%2F",
            "evil.com%3F",
            "evil.com%23",
            "evil.com:80",
            "evil.com%5C",
            "u%40evil.com",
            "evil.com%0D%0Aset-cookie:a=b",
            "evil.com%20",
            "evil.com%00",
            "%C3%A4",
            "%5B::1%5D",
            "a%252Fb",
            &"a".repeat(64),
            &"a.".repeat(130),
        ] {
            assert_eq!(sent(sly), None, "{sly}");
        }
        assert_eq!(location(region.clone(), "/go/x"), None, "there is none");
        let chosen = to("https://{request.method == \"GET\" ? \"a:b/c\" : \"b\"}.example.com{path}");
        assert_eq!(location(chosen, "/go/x"), None, "it is no part of a host, wherever it is from");
        let chosen = to("https://{request.method == \"GET\" ? \"read\" : \"write\"}.example.com{path}");
        assert_eq!(location(chosen, "/go/x").as_deref(), Some("https://read.example.com/go/x"));
    }

    #[test]
    fn no_request_decides_where_the_host_ends() {
        for to in [
            "https://{request.arguments.r}/{rest}",
            "https://{request.arguments.r}:8443/{rest}",
            "https://{request.arguments.r}example.com/{rest}",
            "https://www.{request.arguments.r}{path}",
            "https://{request.arguments.r}?a=.example.com",
        ] {
            let settings = json!({ "match": "/go/**", "to": to });
            let wrong = plain(build, &settings).map(|_| ()).unwrap_err();
            assert_eq!(wrong.pointer, "/to", "{to}");
            assert!(wrong.message.contains("where the host ends"), "{}", wrong.message);
        }
    }

    #[test]
    fn mistakes_are_found_at_load() {
        let mistake = |settings| plain(build, &settings).err().map(|error| error.pointer).unwrap();
        assert_eq!(mistake(json!({ "to": "/{id}" })), "/to");
        assert_eq!(mistake(json!({ "to": "//{id}", "match": "/{id}", "regex": "/" })), "/regex");
        assert_eq!(mistake(json!({ "to": "https://{id}/", "match": "/{id}" })), "/to");
        assert_eq!(mistake(json!({ "to": "https://{rest}/" })), "/to");
        assert_eq!(mistake(json!({ "to": "https://{claims.region}.example.com:0/" })), "/to");
        assert_eq!(mistake(json!({ "to": "https://{claims.region}.example.com:x/" })), "/to");
        assert_eq!(mistake(json!({ "to": "https://a:{claims.region}.example.com/" })), "/to");
        assert_eq!(mistake(json!({ "to": "https://u@{claims.region}.example.com/" })), "/to");
        assert_eq!(mistake(json!({ "to": "https://{claims.region.example.com/" })), "/to");
        assert_eq!(mistake(json!({ "to": "https://{claims.regions.}.example.com/" })), "/to");
        assert_eq!(mistake(json!({ "to": "/{consumer.name}" })), "/to");
        assert_eq!(mistake(json!({ "to": "/", "status": 200 })), "/status");
        assert_eq!(mistake(json!({ "to": "/", "match": "old" })), "/match");
    }
}
