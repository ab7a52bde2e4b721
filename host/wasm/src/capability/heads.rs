//! The headers of both heads, as guests ask for them and change them.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use limen_policy::{HeaderEdit, Side};

use super::bindings::limen::policy::types::EditError;
use super::{edited, utf8};
use crate::state::State;

/// The longest name that is kept, in bytes.
const LONGEST: usize = 64;

/// The names of headers that the guest gave last, read: they are few, and the same in each exchange.
#[derive(Default)]
pub(crate) struct Names {
    kept: [Option<HeaderName>; 8],
    /// The place of the next one that is new.
    next: usize,
}

impl Names {
    /// None: it is no name.
    fn read(&mut self, text: &str) -> Option<Cow<'_, HeaderName>> {
        let find = |is_it: fn(&str, &str) -> bool| {
            self.kept.iter().position(|kept| kept.as_ref().is_some_and(|kept| is_it(kept.as_str(), text)))
        };
        // As they are kept they are given most often.
        if let Some(place) = find(|kept, text| kept == text).or_else(|| find(str::eq_ignore_ascii_case)) {
            return self.kept.get(place)?.as_ref().map(Cow::Borrowed);
        }
        let name = HeaderName::from_bytes(text.as_bytes()).ok()?;
        if text.len() > LONGEST {
            return Some(Cow::Owned(name));
        }
        let place = self.next;
        self.next = (place + 1) % self.kept.len();
        Some(Cow::Borrowed(self.kept.get_mut(place)?.insert(name)))
    }
}

/// A value that is UTF-8: what the exchange has, and no copy.
pub(crate) struct Text(HeaderValue);

impl Text {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        String::from_utf8_lossy(text.as_bytes()).into_owned()
    }
}

impl State {
    pub(crate) fn header(&mut self, side: Side, name: &str) -> Option<Text> {
        let value = self.exchange.headers(side).get(&*self.names.read(name)?)?;
        utf8(value).is_some().then(|| Text(value.clone()))
    }

    pub(crate) fn header_bytes(&mut self, side: Side, name: &str) -> Option<Vec<u8>> {
        let value = self.exchange.headers(side).get(&*self.names.read(name)?)?;
        Some(value.as_bytes().to_vec())
    }

    pub(crate) fn header_values(&mut self, side: Side, name: &str) -> Vec<Vec<u8>> {
        let Some(name) = self.names.read(name) else { return Vec::new() };
        let values = self.exchange.headers(side).get_all(&*name).iter();
        values.map(|value| value.as_bytes().to_vec()).collect()
    }

    pub(crate) fn has_header(&mut self, side: Side, name: &str) -> bool {
        self.names.read(name).is_some_and(|name| self.exchange.headers(side).contains_key(&*name))
    }

    pub(crate) fn header_equals(&mut self, side: Side, name: &str, value: &str) -> bool {
        let Some(name) = self.names.read(name) else { return false };
        let mut values = self.exchange.headers(side).get_all(&*name).iter();
        values.any(|present| present.as_bytes() == value.as_bytes())
    }

    pub(crate) fn edit_header(&mut self, side: Side, edit: HeaderEdit<'_>) -> Result<(), EditError> {
        let name = self.names.read(edit.name());
        edited(self.exchange.edit_known_header(side, name.as_deref(), edit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_once_and_few_are_kept() {
        let mut names = Names::default();
        assert_eq!(names.read("x y"), None);
        assert_eq!(names.read(""), None);
        assert_eq!(*names.read("X-Name").unwrap(), "x-name");
        let known = |names: &Names| names.kept.iter().flatten().count();
        for _ in 0..3 {
            assert_eq!(*names.read("x-name").unwrap(), "x-name");
            assert_eq!(*names.read("x-Name").unwrap(), "x-name");
            assert_eq!(known(&names), 1);
        }
        let long = "x".repeat(LONGEST + 1);
        assert_eq!(*names.read(&long).unwrap(), *long);
        assert_eq!(known(&names), 1);
        for number in 0..100 {
            let name = format!("x-{number}");
            assert_eq!(*names.read(&name).unwrap(), *name);
        }
        assert_eq!(known(&names), names.kept.len());
    }
}
