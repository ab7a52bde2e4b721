//! `servers`: the paths that an API begins with. Whose hosts they are is the routes' business.

use serde_json::Value;

use super::{Files, Spot, Wrong};

/// The most ways to fill in the variables of one server.
const MOST: usize = 64;

/// The paths of the servers of a document, a path or an operation; none if it has no `servers`.
pub(super) fn bases(files: &Files, owner: &Spot) -> Result<Option<Vec<String>>, Wrong> {
    let list = owner.at("servers");
    let Some(servers) = files.get(&list).and_then(Value::as_array).filter(|list| !list.is_empty()) else {
        return Ok(None);
    };
    let mut bases = Vec::new();
    for (number, server) in servers.iter().enumerate() {
        let spot = list.at(number);
        let Some(url) = server.get("url").and_then(Value::as_str) else {
            return Err(spot.is_wrong("a server without `url`"));
        };
        for url in filled(url, server, &spot)? {
            let base = path(&url).trim_end_matches('/').to_owned();
            if !bases.contains(&base) {
                bases.push(base);
            }
        }
    }
    Ok(Some(bases))
}

/// A URL with all values that its variables may have.
fn filled(url: &str, server: &Value, spot: &Spot) -> Result<Vec<String>, Wrong> {
    let mut all = vec![url.to_owned()];
    let variables = server.get("variables").and_then(Value::as_object);
    for (name, variable) in variables.into_iter().flatten() {
        let mark = format!("{{{name}}}");
        if !path(url).contains(&mark) {
            all = all.iter().map(|url| url.replace(&mark, "x")).collect();
            continue;
        }
        let listed = variable.get("enum").and_then(Value::as_array);
        let default = variable.get("default").into_iter();
        let values: Vec<_> = listed.into_iter().flatten().chain(default).filter_map(Value::as_str).collect();
        let fill = |url: &String| values.iter().map(|value| url.replace(&mark, value)).collect::<Vec<_>>();
        all = all.iter().flat_map(fill).collect();
        all.sort_unstable();
        all.dedup();
        if all.len() > MOST {
            return Err(spot.is_wrong(format!("a server whose variables make more than {MOST} URLs")));
        }
    }
    match all.iter().any(|url| path(url).contains('{')) {
        true => Err(spot.is_wrong(format!("a server with a variable that is not described: `{url}`"))),
        false => Ok(all),
    }
}

/// What follows scheme and host. A relative URL is relative to wherever the document is served: to the root,
/// for us.
fn path(url: &str) -> &str {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default(),
        None => url,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    if path.starts_with('/') { path } else { "" }
}
