//! `when` of a route

use http::HeaderName;

use crate::section::Section;
use crate::value::{Value, boolean, string};

/// One of `when`: `{ header = "x-beta", equals = "1" }`. A route is taken when all of them hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// `header` (required): the name of a request header.
    pub header: HeaderName,
    /// Exactly one of `equals`, `prefix` and `present`.
    pub test: HeaderTest,
}

/// What must be true of the header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderTest {
    /// `equals`: a value is this text.
    Equals(String),
    /// `prefix`: a value starts with this text.
    Prefix(String),
    /// `present`: the header is there (`true`), or is not (`false`).
    Present(bool),
}

impl Condition {
    pub(crate) fn read(section: &Section<'_>) -> Option<Condition> {
        let header = section.required("header", header_name);
        let tests = [
            section.optional("equals", string).map(|test| test.map(HeaderTest::Equals)),
            section.optional("prefix", string).map(|test| test.map(HeaderTest::Prefix)),
            section.optional("present", boolean).map(|test| test.map(HeaderTest::Present)),
        ];
        let clean = section.finish();
        let tests: Option<Vec<_>> = tests.into_iter().collect();
        let mut tests = tests?.into_iter().flatten();
        match (tests.next(), tests.next()) {
            (Some(test), None) => Some(Condition { header: header?, test }),
            (None, _) if !clean => None,
            (None, _) => section.fail("a condition without a test", "one of `equals`, `prefix`, `present`"),
            (Some(_), Some(_)) => section
                .fail("a condition with more than one test", "only one of `equals`, `prefix`, `present`"),
        }
    }
}

pub(crate) fn header_name(value: &Value<'_>) -> Option<HeaderName> {
    const EXPECTED: &str = "the name of a header, like \"x-beta\"";
    let text = value.text(EXPECTED)?;
    match HeaderName::from_bytes(text.as_bytes()) {
        Ok(name) => Some(name),
        Err(_) => value.fail(value.error(format!("not the name of a header: `{text}`")).expected(EXPECTED)),
    }
}
