//! From `paths` to operations.

use http::Method;
use serde_json::Value;

use super::{Files, Operation, Spot, Tree, Wrong, servers};

/// What an item of `paths` may have (OpenAPI, section "Path Item Object").
const METHODS: [(&str, Method); 8] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("options", Method::OPTIONS),
    ("head", Method::HEAD),
    ("patch", Method::PATCH),
    ("trace", Method::TRACE),
];

/// The most operations of one document.
const MOST: usize = 20_000;

pub(super) fn read(files: &Files, base: Option<&str>) -> Result<(Vec<Operation>, Tree), Wrong> {
    let root = Spot::root();
    let (mut operations, mut tree) = (Vec::new(), Tree::default());
    let bases = match base {
        Some(base) => vec![base.trim_end_matches('/').to_owned()],
        None => servers::bases(files, &root)?.unwrap_or_else(|| vec![String::new()]),
    };
    let at = root.at("paths");
    let Some(paths) = files.get(&at).and_then(Value::as_object) else {
        return Err(root.is_wrong("it has no `paths`"));
    };
    for path in paths.keys().filter(|path| !path.starts_with("x-")) {
        let (item, value) = files.follow(&at.at(path))?;
        let of_item = match base {
            Some(_) => None,
            None => servers::bases(files, &item)?,
        };
        for (key, method) in METHODS {
            if value.get(key).is_none() {
                continue;
            }
            let spot = item.at(key);
            let of_operation = match base {
                Some(_) => None,
                None => servers::bases(files, &spot)?,
            };
            let parameters = parameters(files, &item, &spot)?;
            let bases = of_operation.as_ref().or(of_item.as_ref()).unwrap_or(&bases).clone();
            for base in &bases {
                tree.insert(&format!("{base}{path}"), &method, operations.len())
                    .map_err(|message| at.at(path).is_wrong(message))?;
            }
            operations.push(Operation { method, path: path.clone(), spot, bases, parameters });
            if operations.len() > MOST {
                return Err(at.is_wrong(format!("more than {MOST} operations")));
            }
        }
    }
    Ok((operations, tree))
}

/// Those of the path but for the ones that the operation has itself, by name and place.
fn parameters(files: &Files, item: &Spot, operation: &Spot) -> Result<Vec<Spot>, Wrong> {
    let mut known: Vec<(String, String, Spot)> = Vec::new();
    for owner in [operation, item] {
        let list = owner.at("parameters");
        let count = files.get(&list).and_then(Value::as_array).map_or(0, Vec::len);
        let before = known.len();
        for number in 0..count {
            let (spot, parameter) = files.follow(&list.at(number))?;
            let text = |key: &str| parameter.get(key).and_then(Value::as_str).map(str::to_owned);
            let (Some(name), Some(place)) = (text("name"), text("in")) else {
                return Err(spot.is_wrong("a parameter without `name` or `in`"));
            };
            let is_known = |all: &[(String, String, Spot)]| {
                all.iter().any(|(other, there, _)| (other, there) == (&name, &place))
            };
            if is_known(known.get(before..).unwrap_or_default()) {
                return Err(spot.is_wrong(format!("the {place} parameter `{name}` twice")));
            }
            if !is_known(&known) {
                known.push((name, place, spot));
            }
        }
    }
    Ok(known.into_iter().map(|(_, _, spot)| spot).collect())
}
