//! Keys of other systems, from a file: CSV, JSON, and what Kong has.
//!
//! ```text
//! CSV    a line of names, then a line for each key: key or sha256, consumer, and if you like scopes (with spaces
//!        between), plan, expires, prefix; any other column is metadata
//! JSON   [{ "key" or "sha256": "...", "consumer": "...", "scopes": [...], "plan", "expires", "metadata": {} }]
//! Kong   what `deck gateway dump --format json` writes, or GET /key-auths of its Admin API, where a consumer
//!        is known by its id alone. A `ttl` counts from `created_at`, and keys that are past it are left out; `tags` and
//!        the consumer's `custom_id` become metadata
//! ```

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

/// What is in a file.
#[derive(Debug, Default)]
pub struct Found {
    /// As `/keys/import` wants them.
    pub keys: Vec<Value>,
    /// How many have expired, and are not among these.
    pub expired: usize,
}

pub fn read(file: &Path) -> Result<Found, String> {
    let wrong = |what: &str| format!("{}: {what}", file.display());
    let text =
        std::fs::read_to_string(file).map_err(|error| wrong(&format!("could not be read: {error}")))?;
    let keys = match text.trim_start().as_bytes().first() {
        Some(b'[' | b'{') => {
            // What stands there is secret: the error says where, and not what.
            let value = serde_json::from_str(&text).map_err(|error| {
                wrong(&format!("not JSON at line {}, column {}", error.line(), error.column()))
            })?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            from_json(value, now.as_secs())
        }
        _ => from_csv(&text).map(Found::from),
    };
    let found = keys.map_err(|what| wrong(&what))?;
    if found.keys.is_empty() && found.expired == 0 { Err(wrong("there is no key in it")) } else { Ok(found) }
}

impl From<Vec<Value>> for Found {
    fn from(keys: Vec<Value>) -> Self {
        Found { keys, expired: 0 }
    }
}

fn from_json(value: Value, now: u64) -> Result<Found, String> {
    match value {
        Value::Array(keys) => Ok(keys.into()),
        Value::Object(mut object) => {
            if let Some(Value::Array(keys)) = object.remove("keys") {
                return Ok(keys.into());
            }
            let mut found = Found::default();
            if let Some(Value::Array(consumers)) = object.remove("consumers") {
                for consumer in &consumers {
                    let keys = consumer.get("keyauth_credentials").and_then(Value::as_array);
                    keys.into_iter().flatten().try_for_each(|key| found.take_over(key, consumer, now))?;
                }
                return Ok(found);
            }
            match object.remove("data") {
                Some(Value::Array(credentials)) => {
                    for credential in &credentials {
                        let consumer =
                            credential.get("consumer").ok_or("an item of `data` has no `consumer`")?;
                        found.take_over(credential, consumer, now)?;
                    }
                    Ok(found)
                }
                _ => Err("neither a list, nor an object with `keys`, `consumers` or `data`".to_owned()),
            }
        }
        _ => Err("neither a list nor an object".to_owned()),
    }
}

impl Found {
    /// Takes a key of Kong's over.
    fn take_over(&mut self, credential: &Value, consumer: &Value, now: u64) -> Result<(), String> {
        let mut key = Map::new();
        let secret = credential.get("key").ok_or("a key of Kong's has no `key`")?;
        key.insert("key".to_owned(), secret.clone());
        let text = |name: &str| consumer.get(name).and_then(Value::as_str);
        let name = text("username").or_else(|| text("custom_id")).or_else(|| text("id"));
        key.insert("consumer".to_owned(), name.unwrap_or_default().into());
        if let Some(ttl) = credential.get("ttl").filter(|ttl| !ttl.is_null()) {
            let ttl = ttl.as_u64().ok_or("the `ttl` of a key of Kong's is no number of seconds")?;
            let created = credential.get("created_at").and_then(Value::as_f64);
            let ends = created.map_or(now, |seconds| seconds as u64).saturating_add(ttl);
            // Kong's 0 is for ever.
            if ttl > 0 {
                let Some(rest) = ends.checked_sub(now).filter(|rest| *rest > 0) else {
                    self.expired += 1;
                    return Ok(());
                };
                key.insert("expires".to_owned(), format!("{rest}s").into());
            }
        }
        let mut metadata = Map::new();
        if let Some(id) = text("custom_id").filter(|id| Some(*id) != name) {
            metadata.insert("custom_id".to_owned(), id.into());
        }
        let tags = credential.get("tags").and_then(Value::as_array).into_iter().flatten();
        let tags: Vec<_> = tags.filter_map(Value::as_str).collect();
        if !tags.is_empty() {
            metadata.insert("tags".to_owned(), tags.join(",").into());
        }
        if !metadata.is_empty() {
            key.insert("metadata".to_owned(), metadata.into());
        }
        self.keys.push(key.into());
        Ok(())
    }
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
        if !key.contains_key("consumer") {
            return Err(format!("line {line} has no `consumer`"));
        }
        if !key.contains_key("key") && !key.contains_key("sha256") {
            return Err(format!("line {line} has neither a `key` nor a `sha256`"));
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
    use serde_json::json;

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
        assert!(from_csv("key,consumer\n1,2\n3,\n").unwrap_err().contains("line 3 has no `consumer`"));
        assert!(from_csv("key,consumer\n,2\n").unwrap_err().contains("line 2 has neither"));
    }

    const NOW: u64 = 1_700_000_000;

    fn keys(value: Value) -> Value {
        from_json(value, NOW).unwrap().keys.into()
    }

    #[test]
    fn what_kong_has_is_understood() {
        let dump = json!({ "_format_version": "3.0", "consumers": [
            { "username": "ada", "keyauth_credentials": [{ "key": "one" }, { "key": "two" }] },
            { "username": "eve" },
        ] });
        let both = json!([{ "key": "one", "consumer": "ada" }, { "key": "two", "consumer": "ada" }]);
        assert_eq!(keys(dump), both);
        let page = json!({ "data": [{ "id": "x", "key": "one", "consumer": { "id": "c1" } }], "next": null });
        assert_eq!(keys(page), json!([{ "key": "one", "consumer": "c1" }]));
        for wrong in
            [json!({ "data": [{ "key": "one" }] }), json!({}), json!({ "data": [{ "consumer": {} }] })]
        {
            assert!(from_json(wrong, NOW).is_err());
        }
    }

    #[test]
    fn what_kong_lets_expire_expires() {
        let page = json!({ "data": [
            { "key": "a", "ttl": 60, "created_at": NOW - 20, "consumer": { "username": "ada", "custom_id": "7" } },
            { "key": "b", "ttl": 60, "created_at": NOW - 60, "consumer": { "username": "ada" } },
            { "key": "c", "ttl": 60, "tags": ["x", "y"], "consumer": { "username": "ada" } },
            { "key": "d", "ttl": 0, "created_at": 5, "consumer": { "username": "ada" } },
            { "key": "e", "ttl": null, "consumer": { "username": "ada" } },
        ] });
        let found = from_json(page, NOW).unwrap();
        assert_eq!(found.expired, 1);
        let expected = json!([
            { "key": "a", "consumer": "ada", "expires": "40s", "metadata": { "custom_id": "7" } },
            { "key": "c", "consumer": "ada", "expires": "60s", "metadata": { "tags": "x,y" } },
            { "key": "d", "consumer": "ada" },
            { "key": "e", "consumer": "ada" },
        ]);
        assert_eq!(Value::from(found.keys), expected);
        let wrong = json!({ "data": [{ "key": "a", "ttl": "soon", "consumer": { "id": "x" } }] });
        assert!(from_json(wrong, NOW).unwrap_err().contains("ttl"));
    }
}
