//! Reading the settings of a policy, and what is wrong with them.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::header::HeaderName;
use ipnet::IpNet;
use limen_config::units;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::{EditError, Exchange, HeaderEdit, Phase, Side};

/// What is wrong with the settings of a built-in policy.
#[derive(Clone, Debug)]
pub struct SettingsError {
    /// A JSON Pointer (RFC 6901) to the setting.
    pub pointer: String,
    pub message: String,
    /// What helps.
    pub hint: Option<String>,
}

impl SettingsError {
    pub(super) fn new(pointer: &str, message: impl fmt::Display) -> Self {
        SettingsError { pointer: pointer.to_owned(), message: message.to_string(), hint: None }
    }

    pub(super) fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }

    /// The same of settings that are part of others.
    pub(super) fn under(mut self, pointer: &str) -> Self {
        self.pointer.insert_str(0, pointer);
        self
    }
}

pub(super) fn read<T: DeserializeOwned>(settings: &Value) -> Result<T, SettingsError> {
    serde_path_to_error::deserialize(settings).map_err(|error| {
        let pointer = error.path().iter().filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => None,
        });
        let message = error.inner().to_string();
        let hint = meant(&message);
        SettingsError { pointer: pointer.collect(), message: plainly(message), hint }
    })
}

/// What serde says of types, as somebody reads it who writes TOML.
fn plainly(message: String) -> String {
    let Some((said, expected)) = message.rsplit_once(", expected ") else { return message };
    let plain = match expected {
        "u64" | "u32" | "u16" | "u8" | "usize" => "a whole number from 0, without quotes",
        "f64" | "f32" => "a number, without quotes",
        "a boolean" => "true or false, without quotes",
        "a sequence" => "a list like `[...]`",
        "a map" => "a table like `{ ... }`",
        expected if expected.starts_with("struct ") => "a table like `{ ... }`",
        _ => return message,
    };
    format!("{said}, expected {plain}")
}

/// The one that is like it, where serde knows which names there are.
fn meant(message: &str) -> Option<String> {
    let names = message.strip_prefix("unknown field ").or(message.strip_prefix("unknown variant "))?;
    let mut names = names.split('`').skip(1).step_by(2);
    limen_config::did_you_mean(names.next()?, names)
}

/// A time like "90s" or "5m".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// A number of bytes like "64KiB".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

/// Addresses that belong together: "10.0.0.0/8", or one address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Network(pub(super) IpNet);

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(pub(super) HeaderName);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        units::duration(&text).map(Span).map_err(|malformed| {
            let hint = malformed.hint.unwrap_or_else(|| "one is like \"30s\" or \"5m\"".to_owned());
            D::Error::custom(format!("{}; {hint}", malformed.message))
        })
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        units::size(&text).map(Size).map_err(|malformed| {
            let hint = malformed.hint.map(|hint| format!("; {hint}")).unwrap_or_default();
            D::Error::custom(format!("{}{hint}", malformed.message))
        })
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        let network: IpNet = network
            .ok_or_else(|| D::Error::custom(format!("not a network like \"10.0.0.0/8\": `{text}`")))?;
        if network.trunc() != network {
            let meant = network.trunc();
            return Err(D::Error::custom(format!(
                "a network with bits behind its prefix: `{text}`; did you mean \"{meant}\"?"
            )));
        }
        Ok(Network(network))
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Name).map_err(|_| D::Error::custom(format!("not a header's name: `{text}`")))
    }
}

/// Whether a header may be changed so by a policy: tried on an empty exchange.
pub(super) fn check_edit(pointer: &str, side: Side, edit: HeaderEdit<'_>) -> Result<(), SettingsError> {
    let mut exchange = Exchange::default();
    exchange.enter(if side == Side::Request { Phase::Request } else { Phase::Response }, 0);
    let (HeaderEdit::Set(name, _) | HeaderEdit::Add(name, _) | HeaderEdit::Remove(name)) = edit;
    exchange.edit_header(side, edit).map_err(|error| {
        SettingsError::new(
            pointer,
            match error {
                EditError::Forbidden => format!("`{name}` belongs to the gateway"),
                EditError::TooLarge => "a value over 64 KiB".to_owned(),
                EditError::Invalid | EditError::TooLate => {
                    format!("`{name}` or its value is not valid in a header (RFC 9110, section 5)")
                }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    #[test]
    fn mistakes_are_pointed_at() {
        type Lists = BTreeMap<String, Vec<Network>>;
        let wrong = read::<Lists>(&json!({ "a": [], "a/b": ["10.0.0.0/8", "10.0.0.1/8"] })).unwrap_err();
        assert_eq!(wrong.pointer, "/a~1b/1");
        assert!(wrong.message.contains("did you mean \"10.0.0.0/8\"?"), "{}", wrong.message);
        let wrong = read::<BTreeMap<String, Span>>(&json!({ "ttl": "5" })).unwrap_err();
        assert_eq!(
            (&*wrong.pointer, &*wrong.message),
            ("/ttl", "a duration without a unit: `5`; did you mean \"5s\"?")
        );
    }

    #[test]
    fn mistakes_are_told_to_whoever_writes_toml() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "it is only read")]
        struct Some {
            scopes: Vec<String>,
            limit: Option<u64>,
        }
        for (settings, message, hint) in [
            (
                json!({ "scope": [] }),
                "unknown field `scope`, expected `scopes` or `limit`",
                Some("did you mean `scopes`?"),
            ),
            (json!({ "zzzzzz": 1 }), "unknown field `zzzzzz`, expected `scopes` or `limit`", None),
            (json!({ "scopes": "a" }), "invalid type: string \"a\", expected a list like `[...]`", None),
            (
                json!({ "scopes": [], "limit": "5" }),
                "invalid type: string \"5\", expected a whole number from 0, without quotes",
                None,
            ),
            (json!("x"), "invalid type: string \"x\", expected a table like `{ ... }`", None),
        ] {
            let wrong = read::<Some>(&settings).unwrap_err();
            assert_eq!((&*wrong.message, wrong.hint.as_deref()), (message, hint));
        }
    }
}
