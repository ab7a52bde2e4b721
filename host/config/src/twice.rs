//! Routes that ask for the same: one of them would never be taken

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use http::Method;

use crate::section::Section;
use crate::{Condition, Host, Place, RoutePath};

/// Every route's questions so far, also of those that have mistakes elsewhere. Only those with one host,
/// path and `when` are compared with one another: there can be thousands on one path.
#[derive(Debug, Default)]
pub(crate) struct Asked(RefCell<HashMap<Question, Vec<Asking>>>);

/// Host, shape of the path, and conditions.
type Question = (Host, String, BTreeSet<String>);

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
        // As it is written out: the order and what is there twice make no difference.
        let when = route.when.iter().map(|condition| format!("{condition:?}")).collect();
        let near = asked.entry((host.clone(), path.shape(), when)).or_default();
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
        methods && self.listeners.iter().any(|listener| other.listeners.contains(listener))
    }
}
