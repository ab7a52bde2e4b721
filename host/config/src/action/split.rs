//! `upstream` of a route, one or several, and `split_by`

use http::HeaderName;
use toml::de::DeValue;

use crate::condition::{cookie_name, header_name};
use crate::scope::Scope;
use crate::section::{Section, section};
use crate::value::{Value, integer, some, table};

/// `upstream` and `split_by`: to whom a route's requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// `upstream`: the name of one, or up to 64 with weights:
    /// `[{ to = "users", weight = 95 }, { to = "users-next", weight = 5 }]`. One has a weight above 0.
    pub targets: Vec<Weighted>,
    /// `split_by`: what decides which of several upstreams it is. A client is always sent to the same
    /// one, on every route with these upstreams and after every restart, and when weights change only
    /// as many clients move as must. Policies have their say: it is the request as they left it.
    pub by: SplitBy,
}

section! {
    /// One of `upstream`: `{ to = "users", weight = 95 }`.
    #[derive(PartialEq, Eq)]
    pub struct Weighted(section, scope: &Scope<'_>) {
        /// `to` (required): the name of an upstream.
        pub to: String = section.required("to", |value| scope.upstream(value)),

        /// `weight`: its share of the sum of all weights, 0 to 1000000. 0 takes no requests. Default 1.
        pub weight: usize = section.or("weight", integer(0..=1_000_000), 1),
    }
}

/// `split_by`: what decides where a request goes, so that a client stays where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SplitBy {
    /// Left out: chance.
    Chance,
    /// `{ header = "x-user" }`: the value of a header. Requests without it go by chance.
    Header(HeaderName),
    /// `{ cookie = "session" }`: the value of a cookie. Requests without it go by chance.
    Cookie(String),
    /// `"client"`: the client's address.
    Client,
}

impl Split {
    pub(super) fn read(section: &Section<'_>, scope: &Scope<'_>) -> Option<Split> {
        let targets = section.required("upstream", |value| targets(value, scope));
        let by = section.or("split_by", split_by, SplitBy::Chance);
        Some(Split { targets: targets?, by: by? })
    }

    /// The name of the upstream, if there is one only.
    pub fn only(&self) -> Option<&str> {
        match self.targets.as_slice() {
            [only] => Some(&only.to),
            _ => None,
        }
    }
}

fn targets(value: &Value<'_>, scope: &Scope<'_>) -> Option<Vec<Weighted>> {
    const MOST: usize = 64;
    const EXPECTED: &str = "the name of an upstream, or an array like [{ to = \"users\", weight = 95 }, ...]";
    let targets = match value.inner {
        DeValue::String(_) => return Some(vec![Weighted { to: scope.upstream(value)?, weight: 1 }]),
        DeValue::Array(_) => some(table(|section| Weighted::read(section, scope)))(value)?,
        _ => return value.wrong_type(EXPECTED),
    };
    for (n, item) in targets.iter().zip(value.items(EXPECTED)?).enumerate() {
        let (target, at) = item;
        if targets.iter().take(n).any(|before| before.to == target.to) {
            return at.fail(
                at.error(format!("the upstream `{}` twice", target.to)).expected("each upstream once"),
            );
        }
    }
    if targets.len() > MOST {
        return value.fail(value.error("too many upstreams").expected(format!("{MOST} at most")));
    }
    if targets.iter().all(|target| target.weight == 0) {
        return value.fail(value.error("no upstream takes requests").expected("a `weight` above 0"));
    }
    Some(targets)
}

fn split_by(value: &Value<'_>) -> Option<SplitBy> {
    const EXPECTED: &str = "\"client\", `{ header = \"x-user\" }` or `{ cookie = \"session\" }`";
    match value.inner {
        DeValue::String(_) => match value.text(EXPECTED)?.as_str() {
            "client" => Some(SplitBy::Client),
            other => value.fail(value.error(format!("unknown value `{other}`")).expected(EXPECTED)),
        },
        DeValue::Table(_) => {
            let section = value.section()?;
            let header = section.optional("header", header_name);
            let cookie = section.optional("cookie", cookie_name);
            let clean = section.finish();
            match (header?, cookie?) {
                (Some(name), None) => Some(SplitBy::Header(name)),
                (None, Some(name)) => Some(SplitBy::Cookie(name)),
                _ if !clean => None,
                _ => section.fail("not one thing to split by", "either `header` or `cookie`"),
            }
        }
        _ => value.wrong_type(EXPECTED),
    }
}
