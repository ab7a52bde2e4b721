//! The names that a file's values can refer to, and who has taken which.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::policy::Policy;
use crate::request::{RouteLimits, RouteTimeouts};
use crate::suggest::{did_you_mean, one_of};
use crate::twice::Asked;
use crate::value::Value;
use crate::{Attachment, Listener, Place, Target};

/// All `[KIND.NAME]` of one kind.
#[derive(Debug)]
pub(crate) struct Named<T> {
    /// Those without a mistake.
    pub(crate) items: BTreeMap<String, T>,
    /// All, so that a mistake in one is not also reported wherever it is used.
    pub(crate) declared: Unique,
}

impl<T> Named<T> {
    pub(crate) fn none(what: &'static str) -> Named<T> {
        Named { items: BTreeMap::new(), declared: Unique::new(what) }
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.declared.taken.borrow().keys().cloned().collect()
    }
}

/// Names that can be taken only once.
#[derive(Debug)]
pub(crate) struct Unique {
    what: &'static str,
    taken: RefCell<BTreeMap<String, Place>>,
}

impl Unique {
    pub(crate) fn new(what: &'static str) -> Unique {
        Unique { what, taken: RefCell::default() }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.taken.borrow().contains_key(name)
    }

    /// Takes a name, or reports that it is taken, and where.
    pub(crate) fn claim(&self, name: String, value: &Value<'_>) -> Option<String> {
        let mut taken = self.taken.borrow_mut();
        if let Some(first) = taken.get(&name) {
            let error = value.error(format!("duplicate {} `{name}`", self.what));
            return value.fail(
                error
                    .expected(format!("each {} only once", self.what))
                    .hint(format!("the first is at {first}")),
            );
        }
        taken.insert(name.clone(), value.place());
        Some(name)
    }

    /// Takes a name that is known to be free.
    pub(crate) fn insert(&self, name: String, place: Place) {
        self.taken.borrow_mut().insert(name, place);
    }

    /// A name that has to be taken already, by a `[KIND.NAME]`.
    pub(crate) fn refer(&self, value: &Value<'_>, expected: &str, complete: bool) -> Option<String> {
        self.known(value.text(expected)?, value, complete)
    }

    pub(crate) fn known(&self, name: String, value: &Value<'_>, complete: bool) -> Option<String> {
        if self.has(&name) {
            return Some(name);
        }
        if !complete {
            return None;
        }
        let names: Vec<String> = self.taken.borrow().keys().cloned().collect();
        unknown(self.what, &name, value, &names, &format!("declare it as [{}.NAME]", self.what))
    }

    /// A reader of a name that is then taken.
    pub(crate) fn name(&self) -> impl Fn(&Value<'_>) -> Option<String> {
        |value| self.claim(crate::value::name(value)?, value)
    }
}

/// Everything that a policy or a route can name.
pub(crate) struct Scope<'a> {
    pub(crate) natives: &'a [&'a str],
    pub(crate) plugins: &'a Unique,
    pub(crate) upstreams: &'a Unique,
    pub(crate) listeners: &'a [Option<Listener>],
    pub(crate) listener_names: &'a Unique,
    pub(crate) policies: &'a Named<Policy>,
    pub(crate) policy_names: &'a [String],
    /// While the policies themselves are read: they can't use one another.
    pub(crate) in_policy: bool,
    pub(crate) routes: &'a Unique,
    pub(crate) asked: &'a Asked,
    pub(crate) defaults: &'a [Attachment],
    pub(crate) default_names: &'a [String],
    /// What routes have that say nothing else.
    pub(crate) limits: RouteLimits,
    pub(crate) timeout: RouteTimeouts,
    /// No part of any file is lost in broken TOML: what is not there does not exist.
    pub(crate) complete: bool,
}

/// What a name in `use` or `policies` means.
pub(crate) enum Meaning<'a> {
    Policy(&'a Policy),
    Target(Target),
}

impl Scope<'_> {
    /// The user's policies win over plugins, and plugins over built-in policies. Answers `None`
    /// also for what has a mistake itself.
    pub(crate) fn meaning(&self, name: &str, value: &Value<'_>) -> Option<Meaning<'_>> {
        if let Some(native) = name.strip_prefix("builtin:") {
            if self.natives.contains(&native) {
                return Some(Meaning::Target(Target::Native(native.to_owned())));
            }
            let error = value.error(format!("no built-in policy `{native}`"));
            let near = did_you_mean(native, self.natives.iter().copied());
            return value.fail(error.expected(one_of(self.natives.iter().copied())).maybe_hint(near));
        }
        if !self.in_policy && self.policies.declared.has(name) {
            return self.policies.items.get(name).map(Meaning::Policy);
        }
        if self.plugins.has(name) {
            return Some(Meaning::Target(Target::Plugin(name.to_owned())));
        }
        if self.natives.contains(&name) {
            return Some(Meaning::Target(Target::Native(name.to_owned())));
        }
        if !self.complete {
            return None;
        }
        if self.in_policy && self.policy_names.iter().any(|policy| policy == name) {
            let error = value.error(format!("a policy can't use another policy: `{name}`"));
            return value.fail(error.expected("the name of a plugin or a built-in policy"));
        }
        let mut names = if self.in_policy { Vec::new() } else { self.policies.names() };
        names.extend(self.plugins.taken.borrow().keys().cloned());
        names.extend(self.natives.iter().map(|name| (*name).to_owned()));
        let what =
            if self.in_policy { "plugin or built-in policy" } else { "policy, plugin or built-in policy" };
        self.unknown(what, name, value, &names, "declare it as [plugin.NAME]")
    }

    pub(crate) fn upstream(&self, value: &Value<'_>) -> Option<String> {
        self.upstreams.refer(value, "the name of an upstream", self.complete)
    }

    pub(crate) fn all_listeners(&self) -> Vec<usize> {
        (0..self.listeners.len()).collect()
    }

    /// The index of a listener, by its name.
    pub(crate) fn listener(&self, value: &Value<'_>) -> Option<usize> {
        let name = value.text("the name of a listener")?;
        let found =
            self.listeners.iter().position(|listener| listener.as_ref().is_some_and(|it| it.name == name));
        let broken = self.listeners.iter().any(Option::is_none);
        if found.is_some()
            || (broken && (self.listener_names.has(&name) || name.parse::<SocketAddr>().is_ok()))
        {
            return found;
        }
        let names: Vec<String> =
            self.listeners.iter().flatten().map(|listener| listener.name.clone()).collect();
        self.unknown("listener", &name, value, &names, "declare it as [[listener]]")
    }

    fn unknown<T>(
        &self,
        what: &str,
        name: &str,
        value: &Value<'_>,
        names: &[String],
        otherwise: &str,
    ) -> Option<T> {
        if !self.complete {
            return None;
        }
        unknown(what, name, value, names, otherwise)
    }
}

/// What a plugin can be granted by its name.
pub(crate) struct Grantable<'a> {
    pub(crate) upstreams: &'a Unique,
    pub(crate) stores: &'a Unique,
    pub(crate) secrets: &'a Unique,
    pub(crate) key_sets: &'a Unique,
    /// As in [`Scope`].
    pub(crate) complete: bool,
}

impl Grantable<'_> {
    pub(crate) fn upstream(&self, value: &Value<'_>) -> Option<String> {
        self.upstreams.refer(value, "the name of an upstream", self.complete)
    }

    pub(crate) fn store(&self, value: &Value<'_>) -> Option<String> {
        self.stores.refer(value, "the name of a store", self.complete)
    }

    /// A secret, by the name of a key.
    pub(crate) fn secret(&self, name: &str, value: &Value<'_>) -> Option<String> {
        self.secrets.known(name.to_owned(), value, self.complete)
    }

    pub(crate) fn key_set(&self, value: &Value<'_>) -> Option<String> {
        self.key_sets.refer(value, "the name of a key set", self.complete)
    }
}

fn unknown<T>(what: &str, name: &str, value: &Value<'_>, names: &[String], otherwise: &str) -> Option<T> {
    let names = || names.iter().map(String::as_str);
    let hint = did_you_mean(name, names()).unwrap_or_else(|| otherwise.replace("NAME", name));
    let expected = if names().next().is_none() { format!("a declared {what}") } else { one_of(names()) };
    value.fail(value.error(format!("no {what} `{name}`")).expected(expected).hint(hint))
}
