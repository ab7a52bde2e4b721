//! Where a request carries its token.

use std::borrow::Cow;

use http::header::{self, HeaderName, HeaderValue};
use serde::Deserialize;

use crate::native::settings::Name;
use crate::{Exchange, HeaderEdit, SecretPlace, Side};

/// One place that a token may be in.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(in crate::native) enum Carrier {
    Header(Name),
    Cookie(String),
    Query(String),
}

/// What is there.
pub(in crate::native) enum Carried<'a> {
    Token(Cow<'a, str>),
    /// Something else, or several.
    Nonsense,
}

impl Carrier {
    pub(in crate::native) fn usual() -> Vec<Carrier> {
        vec![Carrier::Header(Name(header::AUTHORIZATION))]
    }

    /// None: nothing is there.
    pub(super) fn find<'a>(&self, exchange: &'a Exchange) -> Option<Carried<'a>> {
        self.find_after(&["bearer"], exchange)
    }

    /// None: nothing is there. In `authorization` it stands after one of these schemes.
    pub(in crate::native) fn find_after<'a>(
        &self,
        schemes: &[&str],
        exchange: &'a Exchange,
    ) -> Option<Carried<'a>> {
        match self {
            Carrier::Header(Name(name)) => in_header(exchange, name, schemes),
            Carrier::Cookie(name) => exchange.cookie(name).map(|token| Carried::Token(token.into())),
            Carrier::Query(name) => exchange.query_parameter(name).map(Carried::Token),
        }
    }

    /// What is there is told by no log.
    pub(in crate::native) fn place(&self) -> SecretPlace {
        match self {
            Carrier::Header(Name(name)) => SecretPlace::Header(name.clone()),
            Carrier::Cookie(_) => SecretPlace::Header(header::COOKIE),
            Carrier::Query(name) => SecretPlace::Query(name.clone()),
        }
    }

    /// Takes the token out of the request. What can't be taken out was not found there.
    pub(in crate::native) fn strip(&self, exchange: &mut Exchange) {
        match self {
            Carrier::Header(Name(name)) => remove(exchange, name),
            Carrier::Cookie(name) => strip_cookie(exchange, name),
            Carrier::Query(name) => strip_query(exchange, name),
        }
    }
}

fn in_header<'a>(exchange: &'a Exchange, name: &HeaderName, schemes: &[&str]) -> Option<Carried<'a>> {
    let mut values = exchange.request.headers().get_all(name).iter();
    let value = values.next()?;
    let token = match (values.next(), value.to_str()) {
        (None, Ok(text)) if *name == header::AUTHORIZATION => after_scheme(text, schemes),
        (None, Ok(text)) => Some(text.trim()),
        // Which of them counts would be anybody's guess.
        _ => None,
    };
    Some(token.map_or(Carried::Nonsense, |token| Carried::Token(token.into())))
}

/// What follows the scheme, which has no case (RFC 9110, section 11.1).
fn after_scheme<'a>(text: &'a str, schemes: &[&str]) -> Option<&'a str> {
    let (scheme, token) = text.split_once(' ')?;
    schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known)).then(|| token.trim())
}

fn remove(exchange: &mut Exchange, name: &HeaderName) {
    let _ = exchange.edit_header(Side::Request, HeaderEdit::Remove(name.as_str()));
}

fn strip_cookie(exchange: &mut Exchange, name: &str) {
    let lines = exchange.request.headers().get_all(header::COOKIE).iter();
    let pairs = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';')).map(str::trim);
    let others = pairs.filter(|pair| !pair.is_empty() && pair.split('=').next().map(str::trim) != Some(name));
    let others = others.collect::<Vec<_>>().join("; ");
    remove(exchange, &header::COOKIE);
    if !others.is_empty() && HeaderValue::from_str(&others).is_ok() {
        let _ = exchange.edit_header(Side::Request, HeaderEdit::Set("cookie", &others));
    }
}

fn strip_query(exchange: &mut Exchange, name: &str) {
    let query = exchange.request.uri().query().unwrap_or_default();
    let is_other =
        |pair: &&str| form_urlencoded::parse(pair.as_bytes()).next().is_none_or(|(key, _)| key != name);
    let others = query.split('&').filter(is_other).collect::<Vec<_>>().join("&");
    let _ = exchange.set_query(Some(&*others).filter(|others| !others.is_empty()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Phase;
    use http::Request;

    fn asked(target: &str, headers: &[(&str, &str)]) -> Exchange {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut exchange = Exchange::default();
        exchange.request = request.body(()).unwrap();
        exchange.enter(Phase::Request, 0);
        exchange
    }

    fn token(carrier: &Carrier, exchange: &Exchange) -> Option<String> {
        match carrier.find(exchange)? {
            Carried::Token(token) => Some(token.into_owned()),
            Carried::Nonsense => Some("(nonsense)".to_owned()),
        }
    }

    #[test]
    fn a_header_carries_one_token() {
        let [usual] = <[Carrier; 1]>::try_from(Carrier::usual()).unwrap();
        assert_eq!(token(&usual, &asked("/", &[])), None);
        for (value, found) in [
            ("Bearer a.b.c", "a.b.c"),
            ("bEARER  a.b.c ", "a.b.c"),
            ("Basic a", "(nonsense)"),
            ("Bearer", "(nonsense)"),
            ("", "(nonsense)"),
        ] {
            assert_eq!(
                token(&usual, &asked("/", &[("authorization", value)])).as_deref(),
                Some(found),
                "{value}"
            );
        }
        let two = asked("/", &[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
        assert_eq!(token(&usual, &two).as_deref(), Some("(nonsense)"));
    }

    #[test]
    fn what_is_stripped_is_gone_and_nothing_else() {
        let cookie = Carrier::Cookie("session".to_owned());
        let mut exchange = asked("/", &[("cookie", "a=1; session=t; b=2"), ("cookie", "session2=x")]);
        assert_eq!(token(&cookie, &exchange).as_deref(), Some("t"));
        cookie.strip(&mut exchange);
        assert_eq!(exchange.request.headers()["cookie"], "a=1; b=2; session2=x");
        let query = Carrier::Query("access_token".to_owned());
        let mut exchange = asked("/x?a=1&access%5Ftoken=t&b=%20&access_token=u", &[]);
        assert_eq!(token(&query, &exchange).as_deref(), Some("t"));
        query.strip(&mut exchange);
        assert_eq!(exchange.request.uri().to_string(), "/x?a=1&b=%20");
        let mut exchange = asked("/x?access_token=t", &[]);
        query.strip(&mut exchange);
        assert_eq!(exchange.request.uri().to_string(), "/x");
    }
}
