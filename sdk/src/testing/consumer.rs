//! Whom an exchange is for.

use std::collections::BTreeMap;

/// A consumer, as [`crate::consumer`] tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumer {
    /// What it is called.
    pub id: String,
    /// What else is known of it.
    pub attributes: BTreeMap<String, String>,
}

impl Consumer {
    /// One without attributes.
    pub fn new(id: &str) -> Self {
        Consumer { id: id.into(), attributes: BTreeMap::new() }
    }

    /// With this attribute.
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.into(), value.into());
        self
    }
}
