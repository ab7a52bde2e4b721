//! What a route's `when` asks of a request.

use std::borrow::Cow;

use limen_config::{Condition, Test};
use limen_policy::cookie;

use super::table::Ask;

/// All of them must hold.
pub struct Conditions(Box<[Condition]>);

impl Conditions {
    pub fn new(conditions: &[Condition]) -> Self {
        Conditions(conditions.into())
    }

    pub fn hold(&self, ask: &Ask<'_>) -> bool {
        self.0.iter().all(|condition| holds(condition, ask))
    }

    /// The first that does not hold, by its place in the list.
    pub fn first_failing(&self, ask: &Ask<'_>) -> Option<usize> {
        self.0.iter().position(|condition| !holds(condition, ask))
    }
}

fn holds(condition: &Condition, ask: &Ask<'_>) -> bool {
    match condition {
        Condition::Header(name, test) => {
            passes(test, ask.headers.get_all(name).iter().map(|value| value.as_bytes()))
        }
        Condition::Cookie(name, test) => {
            passes(test, cookie(ask.headers, name).into_iter().map(str::as_bytes))
        }
        Condition::Query(name, test) => {
            let query = ask.query.unwrap_or_default();
            let values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
            passes(test, values.map(|(_, value)| Decoded(value)))
        }
        Condition::Client(networks) => {
            // A listener for IPv6 shows IPv4 clients as `::ffff:10.0.0.1`.
            let client = ask.client.to_canonical();
            networks.iter().any(|network| network.contains(&client))
        }
        Condition::Not(inner) => !holds(inner, ask),
    }
}

/// Whether a value is as the test wants one.
fn passes<V: AsRef<[u8]>>(test: &Test, mut values: impl Iterator<Item = V>) -> bool {
    match test {
        Test::Equals(text) => values.any(|value| value.as_ref() == text.as_bytes()),
        Test::Prefix(text) => values.any(|value| value.as_ref().starts_with(text.as_bytes())),
        Test::Regex(pattern) => values.any(|value| pattern.matches(value.as_ref())),
        Test::Present(wanted) => values.next().is_some() == *wanted,
    }
}

/// A value of a query; text that looks like the bytes it is made of.
struct Decoded<'a>(Cow<'a, str>);

impl AsRef<[u8]> for Decoded<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}
