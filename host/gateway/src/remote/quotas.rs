//! `limen quota`: what is used of quotas, at `/quotas` of the gateway that runs.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::show::{visible, word};
use super::{Report, asking, unexpected};
use crate::StartError;

/// A store may have to be asked, which is not waited for long.
const LIMIT: Duration = Duration::from_secs(10);

/// Which quota, and whose; all if neither is named.
pub struct Which<'a> {
    pub quota: Option<&'a str>,
    pub key: Option<&'a str>,
}

/// What is used.
pub fn show(
    file: &Path,
    admin: Option<SocketAddr>,
    which: &Which<'_>,
    as_json: bool,
) -> Result<Report, StartError> {
    let value = ask(file, admin, Method::GET, which)?;
    let quotas = value.as_array().map_or(&[][..], Vec::as_slice);
    if let (Some(name), []) = (which.quota, quotas) {
        return Err(StartError::Machine(format!(
            "there is no quota `{name}`: `limen quota show` tells which there are"
        )));
    }
    let text = if as_json { format!("{value:#}") } else { table(quotas) };
    Ok(Report::new(text, true))
}

/// Lets a key begin anew.
pub fn reset(
    file: &Path,
    admin: Option<SocketAddr>,
    which: &Which<'_>,
    as_json: bool,
) -> Result<Report, StartError> {
    let value = ask(file, admin, Method::DELETE, which)?;
    let text = match as_json {
        true => format!("{value:#}"),
        false => {
            let used = value.get("used").and_then(Value::as_u64).unwrap_or(0);
            format!(
                "`{}` begins anew with {}: it had used {used}",
                word(&value, "key"),
                word(&value, "quota")
            )
        }
    };
    Ok(Report::new(text, true))
}

fn ask(
    file: &Path,
    admin: Option<SocketAddr>,
    method: Method,
    which: &Which<'_>,
) -> Result<Value, StartError> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in [("quota", which.quota), ("key", which.key)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let path = format!("/quotas?{}", query.finish());
    let reply = asking(file, admin)?.send(method, &path, None, LIMIT)?;
    reply.json().filter(|_| reply.status.is_success()).ok_or_else(|| unexpected(&reply))
}

/// A quota, and below it its keys: those that have used most first.
fn table(quotas: &[Value]) -> String {
    let mut text = String::new();
    for quota in quotas {
        let _ =
            writeln!(text, "{} from {} to {}", word(quota, "name"), word(quota, "from"), word(quota, "to"));
        let mut used: Vec<(String, Option<u64>)> = quota
            .get("used")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(key, used)| (visible(key), used.as_u64()))
            .collect();
        used.sort_by(|(one, more), (other, less)| less.cmp(more).then_with(|| one.cmp(other)));
        let width = used.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
        for (key, used) in used {
            let used = used.map_or("unknown: its store does not answer".to_owned(), |used| used.to_string());
            let _ = writeln!(text, "  {key:width$}  {used}");
        }
    }
    match text.is_empty() {
        true => "no quotas".to_owned(),
        false => text.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whoever_has_used_most_comes_first() {
        let quotas = json!([
            { "name": "/**/quota", "from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z",
              "used": { "ada": 2, "\u{1b}[2Jbob": 10, "carol": null, "dan": 2 } },
            { "name": "plan", "from": "a", "to": "b", "used": {} },
        ]);
        let expected = "/**/quota from 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z\n   [2Jbob  10\n  ada      2\n  \
                        dan      2\n  carol    unknown: its store does not answer\nplan from a to b";
        assert_eq!(table(quotas.as_array().unwrap()), expected);
        assert_eq!(table(&[]), "no quotas");
    }
}
