//! What a request asks for: its URL as the cache spells it, and what else tells answers apart.

use std::fmt::Write;

use serde::Deserialize;

use crate::Exchange;
use crate::native::expression::Text;
use crate::native::settings::Name;

/// `key`: what tells answers apart beside URL, route and `Vary`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Part {
    /// `"consumer"`: who asks, by the name that a policy before this one has found out.
    Consumer,
    /// `{ header = "x-tenant" }`: a header of the request.
    Header(Name),
    /// `{ cookie = "lang" }`: a cookie of the request.
    Cookie(String),
    /// `{ expression = "claims.tenant" }`: what an expression comes to.
    Expression(Text),
}

/// `query`: which query parameters count.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Query {
    /// `ignore`: these don't; a `*` at the end stands for all that begin so: `["utm_*"]`. Default: none.
    ignore: Vec<String>,
    /// `only`: these do, and no others. Default: all.
    only: Option<Vec<String>>,
    /// `sort`: their order does not. Default `false`.
    sort: bool,
}

/// How keys are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    pub query: Query,
    pub parts: Vec<Part>,
}

impl Keys {
    /// `https://api.example.com/a?b=c`: what is purged by.
    pub fn url(&self, exchange: &Exchange) -> String {
        let said = exchange.request.headers().get("x-forwarded-proto").map(|proto| proto.as_bytes());
        let scheme = match (said, &exchange.client.tls) {
            (Some(b"https"), _) => "https",
            (Some(b"http"), _) => "http",
            (_, Some(_)) => "https",
            (_, None) => "http",
        };
        let uri = exchange.request.uri();
        self.spell(scheme, exchange.authority(), uri.path(), uri.query())
    }

    pub fn spell(&self, scheme: &str, host: &str, path: &str, query: Option<&str>) -> String {
        let query = query.map(|query| self.query.counted(query)).unwrap_or_default();
        let mut url = String::with_capacity(scheme.len() + host.len() + path.len() + query.len() + 4);
        let own = if scheme == "https" { ":443" } else { ":80" };
        url.push_str(scheme);
        url.push_str("://");
        url.push_str(host.strip_suffix(own).unwrap_or(host));
        let after = scheme.len() + 3;
        if let Some(host) = url.get_mut(after..) {
            host.make_ascii_lowercase();
        }
        url.push_str(path);
        if !query.is_empty() {
            url.push('?');
            url.push_str(&query);
        }
        url
    }

    /// What tells this request's answer from others of the same URL, before `Vary` does. Routes of one policy
    /// may lead to different upstreams. None: an expression can't be computed, so that nobody can tell.
    pub fn parts(&self, exchange: &Exchange) -> Option<String> {
        let mut text = exchange.route.name.clone();
        for part in &self.parts {
            let value = match part {
                Part::Consumer => {
                    exchange.consumer.as_ref().map(|consumer| consumer.id().as_bytes().to_vec())
                }
                Part::Cookie(name) => exchange.cookie(name).map(|value| value.as_bytes().to_vec()),
                Part::Expression(Text(expression)) => Some(expression.text(exchange).ok()?.into_bytes()),
                Part::Header(Name(name)) => {
                    let lines = exchange.request.headers().get_all(name);
                    let lines: Vec<_> = lines.iter().map(|line| line.as_bytes()).collect();
                    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
                }
            };
            // With its length, so that no value can pretend to be two.
            let _ = match value {
                None => write!(text, "\n-"),
                Some(value) => write!(text, "\n{}:{}", value.len(), value.escape_ascii()),
            };
        }
        Some(text)
    }
}

impl Query {
    fn counted(&self, query: &str) -> String {
        if *self == Query::default() {
            return query.to_owned();
        }
        let name = |pair: &str| {
            let raw = pair.split('=').next().unwrap_or_default().replace('+', " ");
            percent_encoding::percent_decode_str(&raw).decode_utf8_lossy().into_owned()
        };
        let counts = |pair: &&str| {
            let name = name(pair);
            let listed = |list: &[String]| list.iter().any(|pattern| is(pattern, &name));
            !listed(&self.ignore) && self.only.as_deref().is_none_or(listed)
        };
        let mut pairs: Vec<_> = query.split('&').filter(counts).collect();
        if self.sort {
            // Several of one name keep their order.
            pairs.sort_by_key(|pair| name(pair));
        }
        pairs.join("&")
    }
}

fn is(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn exchange(request: Request<()>) -> Exchange {
        let mut exchange = Exchange::default();
        exchange.request = request;
        exchange
    }

    fn url(query: Query, target: &str) -> String {
        let request = Request::builder().uri(target).header("host", "API.example.com:80").body(()).unwrap();
        Keys { query, parts: Vec::new() }.url(&exchange(request))
    }

    #[test]
    fn a_url_has_one_spelling() {
        assert_eq!(url(Query::default(), "/A/b?c=D&c=e"), "http://api.example.com/A/b?c=D&c=e");
        let ignore = Query { ignore: vec!["utm_*".into(), "x y".into()], ..Query::default() };
        assert_eq!(
            url(ignore, "/?a=1&utm_source=x&x+y=2&x%20y=3&utm=4"),
            "http://api.example.com/?a=1&utm=4"
        );
        let only = Query { only: Some(vec!["id".into()]), sort: true, ..Query::default() };
        assert_eq!(url(only, "/?b=1&id=2&id=1&c"), "http://api.example.com/?id=2&id=1");
        assert_eq!(
            url(Query { sort: true, ..Query::default() }, "/?b=2&a=1"),
            "http://api.example.com/?a=1&b=2"
        );
    }

    #[test]
    fn an_expression_tells_apart_or_nobody_can() {
        let parts: Vec<Part> = serde_json::from_value(
            serde_json::json!([{ "expression": "request.cookies.lang.lowerAscii()" }]),
        )
        .unwrap();
        let keys = Keys { query: Query::default(), parts };
        let parts = |cookies: &str| {
            let request = Request::builder().header("cookie", cookies).body(()).unwrap();
            keys.parts(&exchange(request))
        };
        assert_eq!(parts("lang=DE"), parts("lang=de"));
        assert_ne!(parts("lang=de"), parts("lang=en"));
        assert_ne!(parts("lang="), None, "an empty text is one");
        assert_eq!(parts("other=de"), None);
        let same: Vec<Part> =
            serde_json::from_value(serde_json::json!([{ "expression": "request.path" }])).unwrap();
        assert_ne!(keys.parts, same, "kept answers are of the same key");
    }

    #[test]
    fn no_value_pretends_to_be_two() {
        let keys =
            Keys { query: Query::default(), parts: vec![Part::Cookie("a".into()), Part::Cookie("b".into())] };
        let parts = |cookies: &str| {
            let request = Request::builder().header("cookie", cookies).body(()).unwrap();
            keys.parts(&exchange(request))
        };
        let all = [parts("a=1"), parts("b=1"), parts("a=1; b=1"), parts("a=; b=1"), parts("a=1:1")];
        for (place, one) in all.iter().enumerate() {
            assert!(!all.iter().skip(place + 1).any(|other| other == one), "{all:?}");
        }
    }
}
