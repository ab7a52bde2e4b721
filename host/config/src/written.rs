//! What a file says, as JSON for operators to see: nothing of it secret.

use serde_json::{Map, Value as Json};
use toml::de::{DeTable, DeValue};

/// What stands in the place of something that may be a secret.
const HIDDEN: &str = "(hidden)";

/// Keys whose values nobody is to see: paths of keys, tokens, passwords, whatever is called like one.
const SECRET: &[&str] = &[
    "key",
    "keys",
    "secret",
    "secrets",
    "password",
    "passwd",
    "passphrase",
    "token",
    "tokens",
    "token_file",
    "credential",
    "credentials",
    "authorization",
    "cookie",
    "private_key",
    "api_key",
    "apikey",
    "pepper",
    "salt",
];

pub(crate) fn table(table: &DeTable<'_>) -> Json {
    Json::Object(entries(table, Hide::Secrets))
}

/// How much of a value is left out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hide {
    /// What is under a key that is called like a secret.
    Secrets,
    /// Every string: the settings of a policy are its own, and so are headers.
    Strings,
}

fn entries(table: &DeTable<'_>, hide: Hide) -> Map<String, Json> {
    let entry = |name: &str, value: &DeValue<'_>| match name {
        "with" | "headers" | "metadata" => shown(value, Hide::Strings),
        name if is_secret(name) => hidden(value),
        _ => shown(value, hide),
    };
    let entries = table.iter().map(|(name, value)| (name.get_ref(), value.get_ref()));
    entries.map(|(name, value)| (name.to_string(), entry(name, value))).collect()
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    SECRET.contains(&&*name)
        || name.split('_').any(|part| SECRET.contains(&part) && part != "key" && part != "keys")
}

/// As deep as the parser lets it be, which is not deep.
fn shown(value: &DeValue<'_>, hide: Hide) -> Json {
    match value {
        DeValue::String(_) if hide == Hide::Strings => Json::from(HIDDEN),
        DeValue::String(text) => Json::from(without_password(text)),
        DeValue::Integer(integer) => match integer.to_string().parse::<i64>() {
            Ok(number) => Json::from(number),
            Err(_) => Json::from(integer.to_string()),
        },
        DeValue::Float(float) => float.as_str().parse::<f64>().map_or(Json::Null, Json::from),
        DeValue::Boolean(answer) => Json::from(*answer),
        DeValue::Datetime(moment) => Json::from(moment.to_string()),
        DeValue::Array(array) => array.iter().map(|item| shown(item.get_ref(), hide)).collect(),
        DeValue::Table(table) => Json::Object(entries(table, hide)),
    }
}

/// The shape, and nothing in it.
fn hidden(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::Array(array) => array.iter().map(|item| hidden(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let entries = table.iter();
            entries.map(|(name, value)| (name.get_ref().to_string(), hidden(value.get_ref()))).collect()
        }
        _ => Json::from(HIDDEN),
    }
}

/// `http://user:password@host` without what stands before the `@`.
fn without_password(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let authority = rest.find('/').unwrap_or(rest.len());
            match rest.get(..authority).and_then(|authority| authority.rfind('@')) {
                Some(at) => format!("{scheme}://{HIDDEN}{}", rest.get(at..).unwrap_or_default()),
                None => text.to_owned(),
            }
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_hidden_at_every_depth() {
        let text = r#"
            a = "open"
            token_file = "t"
            list = [{ key = "k.pem", cert = "c.pem" }]
            url = "http://ada:pw@host/path"
            [p]
            with = { n = 5, deep = [{ s = "x" }] }
            secret = { one = "x", two = [1] }
            "my-api_token" = 7
            affinity_key = "h"
        "#;
        let parsed = DeTable::parse(text).unwrap();
        let expected = serde_json::json!({
            "a": "open",
            "token_file": HIDDEN,
            "list": [{ "key": HIDDEN, "cert": "c.pem" }],
            "url": "http://(hidden)@host/path",
            "p": {
                "with": { "n": 5, "deep": [{ "s": HIDDEN }] },
                "secret": { "one": HIDDEN, "two": [HIDDEN] },
                "my-api_token": HIDDEN,
                "affinity_key": "h",
            },
        });
        assert_eq!(table(parsed.get_ref()), expected);
    }
}
