//! `upgrades` of a route

use crate::value::{Value, list};

/// The names of protocols, in lower case.
pub(crate) fn upgrades(value: &Value<'_>) -> Option<Vec<String>> {
    list(upgrade)(value)
}

fn upgrade(value: &Value<'_>) -> Option<String> {
    const EXPECTED: &str = "the name of a protocol, like \"websocket\"";
    let name = value.text(EXPECTED)?.to_ascii_lowercase();
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return value.fail(value.error(format!("not a protocol: `{name}`")).expected(EXPECTED));
    }
    // Through such a tunnel requests would pass that no route and no policy has seen.
    if matches!(name.as_str(), "h2c" | "h2" | "tls" | "tls/1.0") || name.starts_with("http/") {
        let error = value.error(format!("an upgrade that would hide requests: `{name}`")).expected(EXPECTED);
        return value.fail(error.hint("HTTP/2 needs no upgrade here: every listener speaks it"));
    }
    Some(name)
}
