//! Who asks, once a policy has found it out.

use std::sync::Arc;

use serde_json::Value;

use crate::EditError;

/// The longest id, in bytes.
const MAX_ID: usize = 256;
/// At most this many attributes, and this many bytes of their names and values.
const MAX_ATTRIBUTES: usize = 32;
const MAX_BYTES: usize = 16 << 10;

/// Whom an exchange is for: a policy that checks keys or tokens names it, later ones go by it, and the
/// access log tells its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    id: Box<str>,
    /// Few, so a list.
    attributes: Vec<(Box<str>, Box<str>)>,
    /// What it may (RFC 6749, section 3.3), as whoever vouches for it says.
    pub scopes: Vec<Box<str>>,
    /// All that its token says.
    pub claims: Option<Arc<Value>>,
}

impl Consumer {
    /// One without attributes.
    pub fn new(id: &str) -> Result<Self, EditError> {
        if id.is_empty() || id.chars().any(char::is_control) {
            return Err(EditError::Invalid);
        }
        if id.len() > MAX_ID {
            return Err(EditError::TooLarge);
        }
        Ok(Consumer { id: id.into(), attributes: Vec::new(), scopes: Vec::new(), claims: None })
    }

    /// One of whom more is known.
    pub fn with<'a>(
        id: &str,
        attributes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, EditError> {
        let mut consumer = Consumer::new(id)?;
        for (name, value) in attributes {
            consumer.put(name, value)?;
        }
        Ok(consumer)
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| **known == *name).map(|(_, value)| &**value)
    }

    /// Puts an attribute in place of one of that name, and answers what that was.
    pub(crate) fn put(&mut self, name: &str, value: &str) -> Result<Option<Box<str>>, EditError> {
        if name.is_empty() {
            return Err(EditError::Invalid);
        }
        let others = self.attributes.iter().filter(|(known, _)| **known != *name);
        let (count, bytes) = others
            .fold((0, 0), |(count, bytes), (name, value)| (count + 1, bytes + name.len() + value.len()));
        if count >= MAX_ATTRIBUTES || bytes + name.len() + value.len() > MAX_BYTES {
            return Err(EditError::TooLarge);
        }
        match self.attributes.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, known)) => Ok(Some(std::mem::replace(known, value.into()))),
            None => {
                self.attributes.push((name.into(), value.into()));
                Ok(None)
            }
        }
    }

    /// Takes back a put: the value from before, or none.
    pub(crate) fn restore(&mut self, name: &str, previous: Option<Box<str>>) {
        match previous {
            None => self.attributes.retain(|(known, _)| **known != *name),
            Some(previous) => {
                if let Some((_, value)) = self.attributes.iter_mut().find(|(known, _)| **known == *name) {
                    *value = previous;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_attributes_are_bounded() {
        assert_eq!(Consumer::new(""), Err(EditError::Invalid));
        assert_eq!(Consumer::new("a\nb"), Err(EditError::Invalid));
        assert_eq!(Consumer::new(&"a".repeat(MAX_ID + 1)), Err(EditError::TooLarge));
        let mut ada = Consumer::new("ada").unwrap();
        assert_eq!(ada.put("", "x"), Err(EditError::Invalid));
        assert_eq!(ada.put("plan", "free"), Ok(None));
        assert_eq!(ada.put("plan", "gold"), Ok(Some("free".into())));
        assert_eq!(ada.put("long", &"x".repeat(MAX_BYTES)), Err(EditError::TooLarge));
        for number in 1..MAX_ATTRIBUTES {
            assert_eq!(ada.put(&number.to_string(), ""), Ok(None));
        }
        assert_eq!(ada.put("one more", ""), Err(EditError::TooLarge));
        assert_eq!(ada.put("plan", "none"), Ok(Some("gold".into())), "one in place of another still fits");
        ada.restore("plan", Some("gold".into()));
        assert_eq!(ada.attribute("plan"), Some("gold"));
        ada.restore("plan", None);
        assert_eq!(ada.attribute("plan"), None);
    }
}
