//! `[policy.NAME]`, and what stands in `policies` of a route or of `[defaults]`

use http::StatusCode;
use toml::de::DeValue;

use crate::scope::{Meaning, Scope};
use crate::section::{Section, section};
use crate::suggest::did_you_mean;
use crate::value::{Value, string, whole};
use crate::{Place, Settings};

section! {
    /// `[policy.NAME]`: a plugin or built-in policy with its settings, for use on many routes.
    pub(crate) struct Policy(section, scope: &Scope<'_>) {
        /// `use` (required): the name of a plugin or a built-in policy; a plugin's name wins,
        /// "builtin:NAME" is always the built-in.
        pub(crate) target: Target = section.required("use", |value| target(value, scope)),

        /// `with`: its settings. Default: none.
        pub(crate) settings: Settings = settings(section),

        /// `on_error`: in place of the plugin's own.
        pub(crate) on_error: Option<OnError> = section.optional("on_error", on_error),
    }
}

/// One policy at work on a route.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// What the route calls it: the name of a policy, a plugin or a built-in.
    pub name: String,
    /// What that is.
    pub target: Target,
    /// `with`, of the attachment or of the named policy.
    pub settings: Settings,
    /// `on_error`, of the attachment or else of the named policy; in place of the plugin's own.
    pub on_error: Option<OnError>,
    /// Where it stands in the file.
    pub place: Place,
}

/// What does the work.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A `[plugin.NAME]`.
    Plugin(String),
    /// A policy built into the gateway.
    Native(String),
}

/// What a client gets when a policy fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnError {
    /// "refuse": the gateway's own error response.
    Refuse,
    /// "skip": what it would get without the policy.
    Skip,
    /// `{ status = 503 }`: this status, 400 to 599.
    Status(StatusCode),
}

impl Attachment {
    /// "login", or `{ use = "region", with = { header = "x-region" }, on_error = "skip" }`.
    pub(crate) fn read(value: &Value<'_>, scope: &Scope<'_>) -> Option<Attachment> {
        match value.inner {
            DeValue::String(_) => {
                let name = value.text("a name")?;
                let (target, settings, on_error) = match scope.meaning(&name, value)? {
                    Meaning::Policy(policy) => {
                        (policy.target.clone(), policy.settings.clone(), policy.on_error)
                    }
                    Meaning::Target(target) => (target, Settings::none(value.place()), None),
                };
                Some(Attachment { name, target, settings, on_error, place: value.place() })
            }
            DeValue::Table(_) => Attachment::read_table(&value.section()?, scope),
            _ => value.wrong_type("the name of a policy, or a table `{ use = \"NAME\", with = { ... } }`"),
        }
    }

    fn read_table(section: &Section<'_>, scope: &Scope<'_>) -> Option<Attachment> {
        let used = section.required("use", |value| {
            let name = string(value)?;
            let meaning = scope.meaning(&name, value)?;
            Some((name, meaning))
        });
        let own_settings = settings(section);
        let own_on_error = section.optional("on_error", on_error);
        section.finish();
        let (name, meaning) = used?;
        let (target, settings, on_error) = match meaning {
            Meaning::Target(target) => (target, own_settings?, own_on_error?),
            Meaning::Policy(policy) => match section.get("with") {
                Some(with) => {
                    let error =
                        with.error(format!("settings for the named policy `{name}`, which has its own"));
                    let hint =
                        format!("change `with` of [policy.{name}], or use the plugin or built-in directly");
                    return with.fail(error.expected("no `with` beside the name of a policy").hint(hint));
                }
                None => (policy.target.clone(), policy.settings.clone(), own_on_error?.or(policy.on_error)),
            },
        };
        Some(Attachment { name, target, settings, on_error, place: section.place() })
    }
}

/// What `use` of a named policy names, which can't be another named policy.
fn target(value: &Value<'_>, scope: &Scope<'_>) -> Option<Target> {
    let name = string(value)?;
    match scope.meaning(&name, value)? {
        Meaning::Target(target) => Some(target),
        Meaning::Policy(_) => None,
    }
}

/// `with`, or none.
fn settings(section: &Section<'_>) -> Option<Settings> {
    Some(section.optional("with", Settings::read)?.unwrap_or_else(|| Settings::none(section.place())))
}

/// "refuse", "skip" or `{ status = 503 }`.
pub(crate) fn on_error(value: &Value<'_>) -> Option<OnError> {
    const EXPECTED: &str = "\"refuse\", \"skip\" or a table `{ status = 503 }`";
    match value.inner {
        DeValue::String(_) => match value.text(EXPECTED)?.as_str() {
            "refuse" => Some(OnError::Refuse),
            "skip" => Some(OnError::Skip),
            other => {
                let error = value.error(format!("unknown value `{other}`")).expected(EXPECTED);
                value.fail(error.maybe_hint(did_you_mean(other, ["refuse", "skip"])))
            }
        },
        DeValue::Table(_) => {
            let section = value.section()?;
            let status = section.required("status", status);
            section.finish();
            status.map(OnError::Status)
        }
        _ => value.wrong_type(EXPECTED),
    }
}

fn status(value: &Value<'_>) -> Option<StatusCode> {
    const EXPECTED: &str = "an integer from 400 to 599";
    let DeValue::Integer(integer) = value.inner else { return value.wrong_type(EXPECTED) };
    let status = whole(integer).and_then(|n| u16::try_from(n).ok()).filter(|n| (400..=599).contains(n));
    match status.and_then(|n| StatusCode::from_u16(n).ok()) {
        Some(status) => Some(status),
        None => value.fail(value.error(format!("out of range: {integer}")).expected(EXPECTED)),
    }
}

/// `without`: the names of attachments in `[defaults]`.
pub(crate) fn left_out(value: &Value<'_>, defaults: &[String]) -> Option<String> {
    let name = value.text("the name of a policy in `[defaults]`")?;
    if defaults.contains(&name) {
        return Some(name);
    }
    let known = || defaults.iter().map(String::as_str);
    let error = value.error(format!("no policy `{name}` in `[defaults]`"));
    let expected = match defaults {
        [] => "no `without`: there is no `policies` in `[defaults]`".to_owned(),
        _ => crate::suggest::one_of(known()),
    };
    value.fail(error.expected(expected).maybe_hint(did_you_mean(&name, known())))
}
