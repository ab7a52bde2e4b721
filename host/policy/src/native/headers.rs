//! `headers`: sets, adds, removes and renames headers of requests and responses.
//!
//! ```toml
//! policies = [{ use = "headers", with = { response = { set = { server = "api" }, remove = ["x-powered-by"] } } }]
//! ```
//!
//! Renames first, then removes, then sets (replacing every value), then adds. What the gateway owns (framing,
//! connection and `host` headers) is refused when the configuration is loaded.
//!
//! Values may have expressions in them (CEL, as in `authorize`): `"{consumer.id}"`, `"{claims.tenant}/{request.method}"`;
//! for responses `response.status` and `response.headers` besides. A brace itself is doubled: `{{`. Where a value
//! can't be computed, or is none that a header may have, there is no such header: what a client says itself
//! never stands in its place.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::expression::{Stage, Template};
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
    let Settings { request, response } = read(settings)?;
    let (request, response) = (program(Side::Request, request)?, program(Side::Response, response)?);
    Ok(Box::new(Headers { request, response }))
}

struct Headers {
    request: Vec<Edit>,
    response: Vec<Edit>,
}

enum Edit {
    Rename(String, String),
    Remove(String),
    Set(String, Template),
    Add(String, Template),
}

impl Policy for Headers {
    fn phases(&self) -> Phases {
        let mut phases = Phases::default();
        if !self.request.is_empty() {
            phases = phases.with(Phase::Request);
        }
        if !self.response.is_empty() {
            phases = phases.with(Phase::Response);
        }
        phases
    }

    fn looks_back(&self) -> bool {
        self.response.iter().any(Edit::is_computed)
    }

    fn call<'a>(&'a self, phase: Phase, exchange: &'a mut Box<Exchange>, _: &'a mut Seat) -> Answer<'a> {
        let (side, edits) = match phase {
            Phase::Request => (Side::Request, &self.request),
            _ => (Side::Response, &self.response),
        };
        for edit in edits {
            edit.make(side, exchange);
        }
        Answer::Ready(Ok(Verdict::Next))
    }
}

impl Edit {
    fn is_computed(&self) -> bool {
        match self {
            Edit::Rename(..) | Edit::Remove(_) => false,
            Edit::Set(_, value) | Edit::Add(_, value) => value.fixed().is_none(),
        }
    }

    /// All of them were tried when the configuration was loaded, but for values that are computed.
    fn make(&self, side: Side, exchange: &mut Exchange) {
        let _ = match self {
            Edit::Rename(from, to) => exchange.rename_header(side, from, to),
            Edit::Remove(name) => exchange.edit_header(side, HeaderEdit::Remove(name)),
            Edit::Set(name, value) => {
                let set = with(value, exchange, |value, exchange| {
                    exchange.edit_header(side, HeaderEdit::Set(name, value)).is_ok()
                });
                if set { Ok(()) } else { exchange.edit_header(side, HeaderEdit::Remove(name)) }
            }
            Edit::Add(name, value) => {
                with(value, exchange, |value, exchange| {
                    exchange.edit_header(side, HeaderEdit::Add(name, value)).is_ok()
                });
                Ok(())
            }
        };
    }
}

/// Does something with the value that a template has here; false if it has none.
fn with(value: &Template, exchange: &mut Exchange, act: impl FnOnce(&str, &mut Exchange) -> bool) -> bool {
    match value.fixed() {
        Some(fixed) => act(fixed, exchange),
        None => value.text(exchange).is_ok_and(|value| act(&value, exchange)),
    }
}

/// The edits in their order, each of which may be made.
fn program(side: Side, edits: Edits) -> Result<Vec<Edit>, SettingsError> {
    let (of, stage) = match side {
        Side::Request => ("request", Stage::Request),
        Side::Response => ("response", Stage::Response),
    };
    let Edits { rename, remove, set, add } = edits;
    // To rename is to edit two.
    if 2 * rename.len() + remove.len() + set.len() + add.len() > MAX_EDITS {
        return Err(SettingsError::new(&format!("/{of}"), format!("more than {MAX_EDITS} edits")));
    }
    let check = |setting: &str, edit: HeaderEdit<'_>| check_edit(&format!("/{of}/{setting}"), side, edit);
    let template = |setting: &str, name: &str, text: &str| {
        let pointer = format!("/{of}/{setting}");
        let value = Template::new(text, stage).map_err(|why| SettingsError::new(&pointer, why))?;
        check_edit(&pointer, side, HeaderEdit::Set(name, value.fixed().unwrap_or_default()))?;
        Ok(value)
    };
    let mut program = Vec::new();
    for (from, to) in rename {
        check("rename", HeaderEdit::Remove(&from))?;
        check("rename", HeaderEdit::Remove(&to))?;
        program.push(Edit::Rename(from, to));
    }
    for name in remove {
        check("remove", HeaderEdit::Remove(&name))?;
        program.push(Edit::Remove(name));
    }
    for (name, text) in set {
        let value = template("set", &name, &text)?;
        program.push(Edit::Set(name, value));
    }
    for (name, text) in add {
        let value = template("add", &name, &text)?;
        program.push(Edit::Add(name, value));
    }
    Ok(program)
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
    fn values_are_computed_and_never_what_a_client_says_instead() {
        let policy = build(&json!({
            "request": {
                "set": { "x-user": "{consumer.id}", "x-tenant": "{claims.tenant}", "x-brace": "{{}}" },
                "add": { "x-how": "{request.method} {request.path}" },
            },
            "response": { "set": { "x-was": "{response.status}" } },
        }))
        .unwrap();
        let mut exchange = Box::<Exchange>::default();
        exchange.introduce(crate::Consumer::new("ada").unwrap()).unwrap();
        for name in ["x-user", "x-tenant"] {
            exchange.request.headers_mut().insert(name, "forged".parse().unwrap());
        }
        call(&*policy, Phase::Request, &mut exchange);
        call(&*policy, Phase::Response, &mut exchange);
        let head = exchange.request.headers();
        assert_eq!((&head["x-user"], head.get("x-tenant")), (&"ada".parse().unwrap(), None));
        assert_eq!((&head["x-brace"], &head["x-how"]), (&"{}".parse().unwrap(), &"GET /".parse().unwrap()));
        assert_eq!(exchange.response.headers()["x-was"], "200");
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
