//! Keys of other systems, from a file: CSV, JSON, and what Kong has.
//!
//! ```text
//! CSV    a line of names, then a line for each key: key or sha256, consumer, and if you like scopes (with spaces
//!        between), plan, expires, prefix; any other column is metadata
//! JSON   [{ "key" or "sha256": "...", "consumer": "...", "scopes": [...], "plan", "expires", "metadata": {} }]
//! Kong   what `deck gateway dump --format json` writes, or GET /key-auths of its Admin API, where a consumer
//!        is known by its id alone
//! ```

use std::path::Path;

use serde_json::{Map, Value, json};

/// The keys of a file, as `/keys/import` wants them.
pub fn read(file: &Path) -> Result<Vec<Value>, String> {
    let wrong = |what: &str| format!("{}: {what}", file.display());
    let text =
        std::fs::read_to_string(file).map_err(|error| wrong(&format!("could not be read: {error}")))?;
    let keys = match text.trim_start().as_bytes().first() {
        Some(b'[' | b'{') => {
            // What stands there is secret: the error says where, and not what.
            let value = serde_json::from_str(&text).map_err(|error| {
                wrong(&format!("not JSON at line {}, column {}", error.line(), error.column()))
            })?;
            from_json(value)
        }
        _ => from_csv(&text),
    };
    let keys = keys.map_err(|what| wrong(&what))?;
    if keys.is_empty() { Err(wrong("there is no key in it")) } else { Ok(keys) }
}

fn from_json(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(keys) => Ok(keys),
        Value::Object(mut object) => {
            if let Some(Value::Array(keys)) = object.remove("keys") {
                return Ok(keys);
            }
            if let Some(Value::Array(consumers)) = object.remove("consumers") {
                return Ok(consumers.iter().flat_map(of_kong_consumer).collect());
            }
            match object.remove("data") {
                Some(Value::Array(credentials)) => credentials.iter().map(of_kong_credential).collect(),
                _ => Err("neither a list, nor an object with `keys`, `consumers` or `data`".to_owned()),
            }
        }
        _ => Err("neither a list nor an object".to_owned()),
    }
}

/// A consumer of Kong's declarative format, with its keys.
fn of_kong_consumer(consumer: &Value) -> Vec<Value> {
    let text = |name: &str| consumer.get(name).and_then(Value::as_str);
    let name = text("username").or_else(|| text("custom_id")).unwrap_or_default();
    let keys = consumer.get("keyauth_credentials").and_then(Value::as_array);
    let keys = keys.into_iter().flatten().filter_map(|credential| credential.get("key"));
    keys.map(|key| json!({ "key": key, "consumer": name })).collect()
}

/// A key of Kong's Admin API.
fn of_kong_credential(credential: &Value) -> Result<Value, String> {
    let key = credential.get("key").ok_or("an item of `data` has no `key`")?;
    let consumer = credential.get("consumer").ok_or("an item of `data` has no `consumer`")?;
    let name = ["username", "custom_id", "id"].iter().find_map(|name| consumer.get(name)?.as_str());
    Ok(json!({ "key": key, "consumer": name.unwrap_or_default() }))
}

fn from_csv(text: &str) -> Result<Vec<Value>, String> {
    let mut rows = rows(text).into_iter();
    let (_, names) = rows.next().ok_or("it is empty")?;
    let is_known = |name: &str| names.iter().any(|known| known == name);
    if !is_known("consumer") || !(is_known("key") || is_known("sha256")) {
        return Err("its first line has to name the columns: `consumer`, and `key` or `sha256`".to_owned());
    }
    rows.map(|(line, cells)| {
        if cells.len() != names.len() {
            return Err(format!(
                "line {line} has {} columns, and the first one {}",
                cells.len(),
                names.len()
            ));
        }
        let (mut key, mut metadata) = (Map::new(), Map::new());
        for (name, cell) in names.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            match name.as_str() {
                "scopes" => key.insert(name.clone(), cell.split_whitespace().collect()),
                "key" | "sha256" | "consumer" | "plan" | "expires" | "prefix" => {
                    key.insert(name.clone(), cell.into())
                }
                _ => metadata.insert(name.clone(), cell.into()),
            };
        }
        key.insert("metadata".to_owned(), metadata.into());
        Ok(key.into())
    })
    .collect()
}

/// The lines with anything on them, and the numbers they begin at (RFC 4180: cells may be quoted).
fn rows(text: &str) -> Vec<(usize, Vec<String>)> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut line, mut begun, mut is_quoted) = (1, 1, false);
    let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(c) = chars.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' if is_quoted || cell.is_empty() => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell).trim().to_owned()),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell).trim().to_owned());
                rows.push((begun, std::mem::take(&mut row)));
                begun = line;
            }
            other => cell.push(other),
        }
    }
    row.push(cell.trim().to_owned());
    rows.push((begun, row));
    rows.retain(|(_, row)| row.iter().any(|cell| !cell.is_empty()));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_is_read_with_its_quotes() {
        let text = "key,consumer,scopes,team\r\nabc,\"Lovelace, \"\"Ada\"\"\",a b,\n\n\"d\ne\",eve,,x\n";
        let expected = json!([
            { "key": "abc", "consumer": "Lovelace, \"Ada\"", "scopes": ["a", "b"], "metadata": {} },
            { "key": "d\ne", "consumer": "eve", "metadata": { "team": "x" } },
        ]);
        assert_eq!(Value::from(from_csv(text).unwrap()), expected);
        assert!(from_csv("a,b\n1,2\n").unwrap_err().contains("first line"));
        assert!(from_csv("key,consumer\n1,2\n3\n").unwrap_err().contains("line 3"));
    }

    #[test]
    fn what_kong_has_is_understood() {
        let dump = json!({ "_format_version": "3.0", "consumers": [
            { "username": "ada", "keyauth_credentials": [{ "key": "one" }, { "key": "two" }] },
            { "username": "eve" },
        ] });
        let both = json!([{ "key": "one", "consumer": "ada" }, { "key": "two", "consumer": "ada" }]);
        assert_eq!(Value::from(from_json(dump).unwrap()), both);
        let page = json!({ "data": [{ "id": "x", "key": "one", "consumer": { "id": "c1" } }], "next": null });
        assert_eq!(Value::from(from_json(page).unwrap()), json!([{ "key": "one", "consumer": "c1" }]));
        assert!(from_json(json!({ "data": [{ "key": "one" }] })).is_err() && from_json(json!({})).is_err());
    }
}
