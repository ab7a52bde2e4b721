//! Routes that ask for the same: one of them would never be taken

use std::cell::RefCell;
use std::collections::HashMap;

use http::Method;

use crate::section::Section;
use crate::{Condition, Host, Place, RoutePath};

/// Every route's questions so far, also of those that have mistakes elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Asked(RefCell<HashMap<(Host, String), Vec<Asking>>>);

/// What a route asks beside its host and path.
#[derive(Debug)]
pub(crate) struct Asking {
    /// What people call it.
    pub(crate) name: String,
    pub(crate) listeners: Vec<usize>,
    pub(crate) methods: Option<Vec<Method>>,
    pub(crate) when: Vec<Condition>,
    pub(crate) place: Place,
}

impl Asked {
    /// Reports a route that asks what another one before it does.
    pub(crate) fn once(&self, host: &Host, path: &RoutePath, route: Asking, section: &Section<'_>) {
        let mut asked = self.0.borrow_mut();
        let near = asked.entry((host.clone(), path.shape())).or_default();
        if let Some(first) = near.iter().find(|first| first.clashes_with(&route)) {
            let message = format!("duplicate route: it matches the same requests as `{}`", first.name);
            let expected = "another listener, host, path, method or `when` than any other route";
            section.fail_with::<()>(&message, expected, format!("the first is at {}", first.place));
        }
        near.push(route);
    }
}

impl Asking {
    /// Whether some request that fits this fits the other, and nothing says which is more specific.
    fn clashes_with(&self, other: &Asking) -> bool {
        let methods = match (&self.methods, &other.methods) {
            (Some(a), Some(b)) => a.iter().any(|method| b.contains(method)),
            (None, None) => true,
            // The one that names the method is the more specific.
            (Some(_), None) | (None, Some(_)) => false,
        };
        methods
            && self.when.iter().all(|it| other.when.contains(it))
            && other.when.iter().all(|it| self.when.contains(it))
            && self.listeners.iter().any(|listener| other.listeners.contains(listener))
    }
}
