//! What the tests of `openapi-core` expect, played through the gateway (see `tests/suites/openapi-core`).

use limen_tests::{Client, Gateway};
use serde_json::{Value, json};

use super::suite::{Group, play, start};

/// What is answered differently, and why.
const DIFFERENT: &[(&str, &str)] = &[];

fn read(file: &str) -> Vec<Value> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/openapi-core").join(file);
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

#[tokio::test]
async fn values_are_as_openapi_core_has_them() {
    let groups = read("schemas.json");
    for version in ["3.0.3", "3.1.0"] {
        let of_it = groups.iter().filter(|group| group["version"] == version);
        let groups: Vec<_> = of_it.map(|group| Group::read("schemas", group)).collect();
        let groups: Vec<_> = groups.iter().collect();
        let gateway = start(version, &groups, true).await;
        let (played, different) = play(&gateway, &groups).await;
        let is_known = |told: &&String| DIFFERENT.iter().any(|(test, _)| told.contains(test));
        let (known, unknown): (Vec<_>, Vec<_>) = different.iter().partition(is_known);
        eprintln!("openapi-core, {version}: {played} played, {} different as known", known.len());
        assert!(played > 100 && unknown.is_empty(), "{unknown:#?}");
    }
}

/// The value has to be the one that is expected: one schema has it as its only one, the other anything but it.
#[tokio::test]
async fn parameters_in_all_styles_are_as_openapi_core_has_them() {
    let cases = read("parameters.json");
    let mut paths = serde_json::Map::new();
    for (number, case) in cases.iter().enumerate() {
        for (expected, wanted) in [
            ("it", json!({ "const": case["value"] })),
            ("other", json!({ "not": { "const": case["value"] } })),
        ] {
            let mut schema = json!({ "type": case["type"], "allOf": [wanted] });
            if case["type"] == "object" {
                let text = json!({ "type": "string" });
                schema["properties"] = json!({ "R": text, "G": text, "B": text });
            }
            let parameter = json!({
                "name": "param", "in": case["in"], "style": case["style"], "explode": case["explode"],
                "required": true, "schema": schema,
            });
            let path = if case["in"] == "path" { "/{param}" } else { "" };
            paths.insert(
                format!("/{expected}/{number}{path}"),
                json!({ "get": { "parameters": [parameter], "responses": {} } }),
            );
        }
    }
    let document = json!({ "openapi": "3.1.0", "info": { "title": "", "version": "" }, "paths": paths });
    let config = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\nrespond = { status = 204 }\n\
                  policies = [{ use = \"openapi\", with = { document = \"api.json\" } }]\n";
    let gateway = Gateway::with(config).file("api.json", document.to_string()).start().await;
    let mut different = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        for (expected, status) in [("it", 204), ("other", 400)] {
            let wire = case["wire"].as_str().unwrap();
            let path = match case["in"].as_str().unwrap() {
                "path" => format!("/{expected}/{number}/{wire}"),
                "query" => format!("/{expected}/{number}?{}", wire.replace('|', "%7C")),
                _ => format!("/{expected}/{number}"),
            };
            let asked = Client::http1().get(gateway.url(&path));
            let asked = match case["in"].as_str().unwrap() {
                "header" => asked.header("param", wire),
                "cookie" => asked.header("cookie", wire),
                _ => asked,
            };
            let answer = Box::pin(asked.send()).await;
            // What a list in several cookies of one name is no version of OpenAPI says: it is refused.
            let is_unclear = case["in"] == "cookie" && case["type"] == "array" && case["explode"] == true;
            let status = if is_unclear { 400 } else { status };
            if answer.status != status {
                different.push(format!("{case}, {expected}: {} {}", answer.status, answer.text()));
            }
        }
    }
    assert!(cases.len() > 40 && different.is_empty(), "{different:#?}");
}
