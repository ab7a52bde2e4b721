//! `when` of a route

use http::HeaderName;
use ipnet::IpNet;

use crate::Pattern;
use crate::network::network;
use crate::section::Section;
use crate::value::{Value, boolean, some, string, table};

/// One of `when`: `{ header = "x-beta", equals = "1" }`. A route is taken when all of them hold.
/// Exactly one of `header`, `query`, `cookie`, `client` and `not`; the first three with a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `header`: the name of a request header. One of its values has to pass the test.
    Header(HeaderName, Test),
    /// `query`: the name of a query parameter. One of its values, decoded, has to pass the test.
    Query(String, Test),
    /// `cookie`: the name of a cookie. Its first value has to pass the test.
    Cookie(String, Test),
    /// `client`: networks like ["10.0.0.0/8", "::1"]. The client's address has to be in one of them.
    Client(Vec<IpNet>),
    /// `not`: a condition that must not hold, like `{ not = { client = ["10.0.0.0/8"] } }`.
    Not(Box<Condition>),
}

/// One of `equals`, `prefix`, `regex` and `present`: what must be true of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// `equals`: it is this text.
    Equals(String),
    /// `prefix`: it starts with this text.
    Prefix(String),
    /// `regex`: all of it matches this regular expression.
    Regex(Pattern),
    /// `present`: it is there, also when it is empty (`true`), or is not (`false`).
    Present(bool),
}

impl Condition {
    pub(crate) fn read(section: &Section<'_>) -> Option<Condition> {
        let header = section.optional("header", header_name);
        let query = section.optional("query", parameter_name);
        let cookie = section.optional("cookie", cookie_name);
        let client = section.optional("client", some(network));
        let not = section.optional("not", table(Condition::read));
        let tests = [
            section.optional("equals", string).map(|test| test.map(Test::Equals)),
            section.optional("prefix", string).map(|test| test.map(Test::Prefix)),
            section.optional("regex", Pattern::read).map(|test| test.map(Test::Regex)),
            section.optional("present", boolean).map(|test| test.map(Test::Present)),
        ];
        let clean = section.finish();
        let subjects = [
            header?.map(Subject::Header),
            query?.map(Subject::Query),
            cookie?.map(Subject::Cookie),
            client?.map(|networks| Subject::Whole(Condition::Client(networks))),
            not?.map(|inner| Subject::Whole(Condition::Not(Box::new(inner)))),
        ];
        let tests: Option<Vec<_>> = tests.into_iter().collect();
        let mut tests = tests?.into_iter().flatten();
        let mut subjects = subjects.into_iter().flatten();
        const SUBJECTS: &str = "one of `header`, `query`, `cookie`, `client`, `not`";
        const TESTS: &str = "one of `equals`, `prefix`, `regex`, `present`";
        match (subjects.next(), subjects.next(), tests.next(), tests.next()) {
            (None, ..) | (_, _, None, None) if !clean => None,
            (None, ..) => section.fail("a condition about nothing", SUBJECTS),
            (_, Some(_), ..) => section.fail("a condition about two things", &format!("only {SUBJECTS}")),
            (_, _, _, Some(_)) => {
                section.fail("a condition with more than one test", &format!("only {TESTS}"))
            }
            (Some(Subject::Whole(condition)), _, None, _) => Some(condition),
            (Some(Subject::Whole(_)), _, Some(_), _) => {
                section.fail("a test of nothing", "no test beside `client` and `not`")
            }
            (Some(_), _, None, _) => section.fail("a condition without a test", TESTS),
            (Some(Subject::Header(name)), _, Some(test), _) => Some(Condition::Header(name, test)),
            (Some(Subject::Query(name)), _, Some(test), _) => Some(Condition::Query(name, test)),
            (Some(Subject::Cookie(name)), _, Some(test), _) => Some(Condition::Cookie(name, test)),
        }
    }
}

/// What a condition is about.
enum Subject {
    Header(HeaderName),
    Query(String),
    Cookie(String),
    /// Needs no test.
    Whole(Condition),
}

pub(crate) fn header_name(value: &Value<'_>) -> Option<HeaderName> {
    const EXPECTED: &str = "the name of a header, like \"x-beta\"";
    let text = value.text(EXPECTED)?;
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(name) => Some(name),
        Err(_) => value.fail(value.error(format!("not the name of a header: `{text}`")).expected(EXPECTED)),
    }
}

/// The name of a cookie: a token (RFC 6265, section 4.1.1).
pub(crate) fn cookie_name(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of a cookie, like \"session\"";
    let text = value.text(EXPECTED)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > 128 || !text.bytes().all(token) {
        return value.fail(value.error(format!("not the name of a cookie: `{text}`")).expected(EXPECTED));
    }
    Some(text)
}

fn parameter_name(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of a query parameter, like \"version\"";
    let text = value.text(EXPECTED)?;
    match text.is_empty() {
        true => value.fail(value.error("an empty name").expected(EXPECTED)),
        false => Some(text),
    }
}
