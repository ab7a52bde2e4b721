//! Keys as lines for people.

use std::fmt::Write;

use serde_json::Value;

use crate::remote::show::{list as items, visible, word};

/// A new key: itself, alone on its line, and beside that what there is to say of it.
pub fn made(key: &Value) -> (String, Option<String>) {
    let aside = format!(
        "key {} for {}{}, expires {}. Above is the key itself: it is shown this once, and kept nowhere.",
        word(key, "id"),
        word(key, "consumer"),
        labelled(", plan ", &word(key, "plan")),
        or(&word(key, "expires"), "never"),
    );
    (word(key, "key"), Some(aside))
}

/// The same, of one that takes the place of another.
pub fn rotated(key: &Value) -> (String, Option<String>) {
    let (text, aside) = made(key);
    let old = key.get("old").unwrap_or(&Value::Null);
    let more = format!("\n{} is accepted until {}.", word(old, "id"), word(old, "expires"));
    (text, aside.map(|aside| aside + &more))
}

/// A line for each.
pub fn list(keys: &Value) -> String {
    let titles = ["ID", "STATE", "CONSUMER", "PLAN", "SCOPES", "EXPIRES", "LAST USED"].map(str::to_owned);
    let rows = items(keys, "keys").iter().map(|key| {
        let expires = or(&word(key, "expires"), "never").to_owned();
        let used = or(&word(key, "last_used"), "never").to_owned();
        [
            word(key, "id"),
            word(key, "state"),
            word(key, "consumer"),
            word(key, "plan"),
            scopes(key),
            expires,
            used,
        ]
    });
    let rows: Vec<_> = std::iter::once(titles).chain(rows).collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..7).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// All of one.
pub fn one(key: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<12}{value}");
        }
    };
    for name in ["id", "prefix", "state", "consumer", "plan"] {
        line(name, &word(key, name));
    }
    line("scopes", &scopes(key));
    for (name, value) in key.get("metadata").and_then(Value::as_object).into_iter().flatten() {
        line("metadata", &format!("{} = {}", visible(name), visible(value.as_str().unwrap_or_default())));
    }
    for (name, label) in [
        ("created", "created"),
        ("expires", "expires"),
        ("revoked", "revoked"),
        ("replaces", "replaces"),
        ("replaced_by", "replaced by"),
        ("last_used", "last used"),
    ] {
        line(label, &word(key, name));
    }
    text.trim_end().to_owned()
}

fn scopes(key: &Value) -> String {
    let scopes: Vec<_> = items(key, "scopes").iter().filter_map(Value::as_str).map(visible).collect();
    scopes.join(" ")
}

fn or<'a>(text: &'a str, otherwise: &'a str) -> &'a str {
    if text.is_empty() { otherwise } else { text }
}

fn labelled(label: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{label}{text}") }
}
