//! `headers`: sets, adds, removes and renames headers of requests and responses.
//!
//! ```toml
//! policies = [{ use = "headers", with = { response = { set = { server = "api" }, remove = ["x-powered-by"] } } }]
//! ```
//!
//! Renames first, then removes, then sets (replacing every value), then adds. What the gateway owns (framing,
//! connection and `host` headers) is refused when the configuration is loaded.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::settings::{SettingsError, check_edit, read};
use super::{Built, Materials};
use crate::{Answer, Exchange, HeaderEdit, MAX_EDITS, Phase, Phases, Policy, Seat, Side, Verdict};

/// `headers`: what to do with the request's headers and with the response's.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    /// `request`: edits of the request before it goes on. Default: none.
    request: Edits,
    /// `response`: edits of the response before the client gets it. Default: none.
    response: Edits,
}

/// `request` and `response`: edits in this order.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Edits {
    /// `rename`: the new names of headers, by the old ones: `{ x-user = "x-consumer" }`. All values go
    /// along, in place of those that the new name had. What is not there is not renamed.
    rename: BTreeMap<String, String>,
    /// `remove`: headers to take away, whatever their value.
    remove: Vec<String>,
    /// `set`: headers to have with this value and no other.
    set: BTreeMap<String, String>,
    /// `add`: headers to have with this value beside those that are there.
    add: BTreeMap<String, String>,
}

pub(super) fn build(settings: &Value, _: &Materials<'_>) -> Built {
    let settings: Settings = read(settings)?;
    settings.request.check(Side::Request)?;
    settings.response.check(Side::Response)?;
    Ok(Box::new(Headers(settings)))
}

struct Headers(Settings);

impl Policy for Headers {
    fn phases(&self) -> Phases {
        let mut phases = Phases::default();
        if !self.0.request.is_empty() {
            phases = phases.with(Phase::Request);
        }
        if !self.0.response.is_empty() {
            phases = phases.with(Phase::Response);
        }
        phases
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        let (side, edits) = match phase {
            Phase::Request => (Side::Request, &self.0.request),
            _ => (Side::Response, &self.0.response),
        };
        // Every one of them was tried when the configuration was loaded.
        for (from, to) in &edits.rename {
            let _ = exchange.rename_header(side, from, to);
        }
        for (_, edit) in edits.iter() {
            let _ = exchange.edit_header(side, edit);
        }
        Answer::Ready(Ok(Verdict::Next))
    }
}

impl Edits {
    fn is_empty(&self) -> bool {
        self.rename.is_empty() && self.iter().next().is_none()
    }

    /// The edits in their order, each with the name of the setting it comes from.
    fn iter(&self) -> impl Iterator<Item = (&'static str, HeaderEdit<'_>)> {
        let remove = self.remove.iter().map(|name| ("remove", HeaderEdit::Remove(name)));
        let set = self.set.iter().map(|(name, value)| ("set", HeaderEdit::Set(name, value)));
        let add = self.add.iter().map(|(name, value)| ("add", HeaderEdit::Add(name, value)));
        remove.chain(set).chain(add)
    }

    /// Whether every edit may be made.
    fn check(&self, side: Side) -> Result<(), SettingsError> {
        let of = if side == Side::Request { "request" } else { "response" };
        // To rename is to edit two.
        if self.iter().count() + 2 * self.rename.len() > MAX_EDITS {
            return Err(SettingsError::new(&format!("/{of}"), format!("more than {MAX_EDITS} edits")));
        }
        let both = |(from, to)| [from, to].into_iter();
        for name in self.rename.iter().flat_map(both) {
            check_edit(&format!("/{of}/rename"), side, HeaderEdit::Remove(name))?;
        }
        self.iter().try_for_each(|(setting, edit)| check_edit(&format!("/{of}/{setting}"), side, edit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn build(settings: &Value) -> Built {
        crate::native::plain(super::build, settings)
    }

    fn call(policy: &dyn Policy, phase: Phase, exchange: &mut Box<Exchange>) {
        exchange.enter(phase, 0);
        let mut seat = None;
        let answer = policy.call(phase, exchange, &mut seat);
        assert!(matches!(answer, Answer::Ready(Ok(Verdict::Next))), "it carries on, at once");
        drop(answer);
        exchange.commit();
    }

    #[test]
    fn removes_then_sets_then_adds() {
        let policy = build(&json!({
            "request": { "remove": ["x-a"], "set": { "x-b": "1" }, "add": { "x-a": "2" } },
            "response": { "set": { "server": "limen" } },
        }))
        .unwrap();
        let mut exchange = Box::<Exchange>::default();
        exchange.request.headers_mut().insert("x-a", "old".parse().unwrap());
        call(&*policy, Phase::Request, &mut exchange);
        call(&*policy, Phase::Response, &mut exchange);
        assert_eq!(exchange.request.headers()["x-a"], "2");
        assert_eq!(exchange.request.headers()["x-b"], "1");
        assert_eq!(exchange.response.headers()["server"], "limen");
    }

    #[test]
    fn renames_with_all_values() {
        let policy = build(&json!({ "request": {
            "rename": { "x-old": "x-new", "x-gone": "x-kept" },
            "set": { "x-old": "again" },
        }}))
        .unwrap();
        let mut exchange = Box::<Exchange>::default();
        for (name, value) in [("x-old", "1"), ("x-old", "2"), ("x-new", "3"), ("x-kept", "4")] {
            exchange.request.headers_mut().append(name, value.parse().unwrap());
        }
        call(&*policy, Phase::Request, &mut exchange);
        let head = exchange.request.headers();
        let values = |name| head.get_all(name).iter().cloned().collect::<Vec<_>>();
        assert_eq!(
            (values("x-new"), values("x-old")),
            (vec!["1".parse().unwrap(), "2".parse().unwrap()], vec!["again".parse().unwrap()])
        );
        assert_eq!(head["x-kept"], "4");
    }

    #[test]
    fn is_asked_only_where_it_has_something_to_do() {
        let policy = build(&json!({ "response": { "remove": ["server"] } })).unwrap();
        assert_eq!(policy.phases().iter().collect::<Vec<_>>(), [Phase::Response]);
    }

    #[test]
    fn mistakes_are_found_at_load() {
        let mistake = |settings| build(&settings).err().map(|error| (error.pointer, error.message));
        assert!(mistake(json!({ "reqest": {} })).unwrap().1.contains("unknown field `reqest`"));
        let (pointer, message) = mistake(json!({ "request": { "set": { "host": "x" } } })).unwrap();
        assert_eq!((pointer.as_str(), message.as_str()), ("/request/set", "`host` belongs to the gateway"));
        assert!(mistake(json!({ "response": { "add": { "a b": "x" } } })).is_some());
        assert_eq!(
            mistake(json!({ "request": { "rename": { "x": "host" } } })).unwrap().0,
            "/request/rename"
        );
    }
}
