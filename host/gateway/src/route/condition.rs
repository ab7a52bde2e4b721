//! What a route's `when` asks of a request.

use http::HeaderMap;
use limen_config::{Condition, HeaderTest};

/// All of them must hold.
pub struct Conditions(Vec<Condition>);

impl Conditions {
    pub fn new(conditions: Vec<Condition>) -> Self {
        Conditions(conditions)
    }

    pub fn hold(&self, headers: &HeaderMap) -> bool {
        self.0.iter().all(|condition| {
            let mut values = headers.get_all(&condition.header).iter();
            match &condition.test {
                HeaderTest::Equals(text) => values.any(|value| value.as_bytes() == text.as_bytes()),
                HeaderTest::Prefix(text) => values.any(|value| value.as_bytes().starts_with(text.as_bytes())),
                HeaderTest::Present(wanted) => values.next().is_some() == *wanted,
            }
        })
    }
}
