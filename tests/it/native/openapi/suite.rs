//! JSON Schema's own test suite, played through a gateway: each schema is the body's of an operation, and each
//! instance is posted to it. Draft 2020-12 is that of OpenAPI 3.1; of draft 4, what OpenAPI 3.0 has of it.

use limen_tests::{Client, Gateway, Setup};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Schemas that are refused at load: they refer to others by URIs that they would have to be fetched from.
const REMOTE: &[(&str, &str)] = &[
    ("dynamicRef", "strict-tree schema, guards against misspelled properties"),
    ("dynamicRef", "tests for implementation dynamic anchor and reference link"),
    ("dynamicRef", "$ref and $dynamicAnchor are independent of order - $defs first"),
    ("dynamicRef", "$ref and $dynamicAnchor are independent of order - $ref first"),
    ("dynamicRef", "$ref to $dynamicRef finds detached $dynamicAnchor"),
    ("refRemote", "remote ref"),
    ("refRemote", "fragment within remote ref"),
    ("refRemote", "anchor within remote ref"),
    ("refRemote", "ref within remote ref"),
    ("refRemote", "base URI change"),
    ("refRemote", "base URI change - change folder"),
    ("refRemote", "base URI change - change folder in subschema"),
    ("refRemote", "root ref in remote ref"),
    ("refRemote", "remote ref with ref to defs"),
    ("refRemote", "Location-independent identifier in remote ref"),
    ("refRemote", "retrieved nested refs resolve relative to their URI not $id"),
    ("refRemote", "remote HTTP ref with different $id"),
    ("refRemote", "remote HTTP ref with different URN $id"),
    ("refRemote", "remote HTTP ref with nested absolute ref"),
    ("refRemote", "$ref to $ref finds detached $anchor"),
];

/// What is answered differently, and why.
const DIFFERENT: &[(&str, &str, &str)] = &[(
    "vocabulary",
    "no validation: invalid number, but it still validates",
    "its `$schema` would have to be fetched; every schema is one of 2020-12 here",
)];

/// Formats that say nothing: they need tables of Unicode.
const UNCHECKED: [&str; 2] = ["idn-email", "idn-hostname"];

/// Keywords and values that OpenAPI 3.0 does not have.
const NOT_IN_3_0: [&str; 7] = [
    "\"additionalItems\"",
    "\"patternProperties\"",
    "\"dependencies\"",
    "\"id\"",
    "\"$schema\"",
    "\"items\":[",
    "http://",
];

pub struct Group {
    file: String,
    description: String,
    schema: Value,
    tests: Vec<Value>,
}

impl Group {
    pub fn read(file: &str, group: &Value) -> Group {
        Group {
            file: file.to_owned(),
            description: group["description"].as_str().unwrap().to_owned(),
            schema: group["schema"].clone(),
            tests: group["tests"].as_array().unwrap().clone(),
        }
    }
}

fn groups(folder: &str) -> Vec<Group> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/json-schema").join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
    files.sort();
    let read = |path: &PathBuf| -> Vec<Group> {
        let all: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let file = path.file_stem().unwrap().to_str().unwrap();
        all.iter().map(|group| Group::read(file, group)).collect()
    };
    files.iter().flat_map(read).collect()
}

/// A schema of the suite is a resource of its own, also within a document.
fn of_2020_12(group: &Group, number: usize) -> Value {
    let mut schema = group.schema.clone();
    if let Value::Object(entries) = &mut schema {
        let id = json!(format!("https://suite.example/{}/{number}", group.file));
        entries.entry("$id").or_insert(id);
    }
    schema
}

/// In a document of 3.0 references lead from its root.
fn of_draft_4(schema: &Value, home: &str) -> Value {
    match schema {
        Value::Object(entries) => {
            let moved = |(key, value): (&String, &Value)| match (key.as_str(), value.as_str()) {
                ("$ref", Some(link)) => (key.clone(), json!(link.replacen('#', home, 1))),
                ("enum", _) => (key.clone(), value.clone()),
                _ => (key.clone(), of_draft_4(value, home)),
            };
            Value::Object(entries.iter().map(moved).collect())
        }
        Value::Array(items) => items.iter().map(|item| of_draft_4(item, home)).collect(),
        other => other.clone(),
    }
}

/// A document for each file, and a route for each document.
pub async fn start(version: &str, groups: &[&Group], formats: bool) -> Gateway {
    prepare(version, groups, formats).start().await
}

fn prepare(version: &str, groups: &[&Group], formats: bool) -> Setup {
    let mut documents: BTreeMap<&str, Value> = BTreeMap::new();
    for (number, group) in groups.iter().enumerate() {
        let document = documents.entry(&group.file).or_insert_with(|| {
            json!({ "openapi": version, "info": { "title": "", "version": "" }, "paths": {}, "components": { "schemas": {} } })
        });
        let name = format!("g{number}");
        let home = format!("#/components/schemas/{name}");
        let schema = match version {
            "3.1.0" => of_2020_12(group, number),
            _ => of_draft_4(&group.schema, &home),
        };
        document["components"]["schemas"][&name] = schema;
        let content = json!({ "application/json": { "schema": { "$ref": home } } });
        document["paths"][format!("/{number}")] =
            json!({ "post": { "requestBody": { "required": true, "content": content }, "responses": {} } });
    }
    let mut config = "[[listener]]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for file in documents.keys() {
        config += &format!(
            "[[route]]\npath = \"/{file}/**\"\nrespond = {{ status = 204 }}\n
             policies = [{{ use = \"openapi\", with = {{ document = \"{file}.json\", base = \"/{file}\", formats = {formats} }} }}]\n"
        );
    }
    let setup = Gateway::with(config);
    documents
        .iter()
        .fold(setup, |setup, (file, document)| setup.file(&format!("{file}.json"), document.to_string()))
}

/// Posts every instance; what is answered differently from what the suite says.
pub async fn play(gateway: &Gateway, groups: &[&Group]) -> (usize, Vec<String>) {
    let mut connection = Client::http1().connect(gateway.url("/")).await.unwrap();
    let (mut played, mut different) = (0, Vec::new());
    for (number, group) in groups.iter().enumerate() {
        for test in &group.tests {
            let path = format!("/{}/{number}", group.file);
            let asked = connection.post(&path).header("content-type", "application/json");
            let answer = asked.body(test["data"].to_string()).send().await;
            let expected = if test["valid"] == true { 204 } else { 400 };
            played += 1;
            if answer.status != expected {
                let told = (
                    &group.file,
                    &group.description,
                    test["description"].as_str().unwrap_or_default(),
                    test["data"].to_string(),
                );
                different.push(format!("{told:?}: {} {}", answer.status, answer.text()));
            }
        }
    }
    (played, different)
}

fn agree(what: &str, left_out: usize, (played, different): (usize, Vec<String>)) {
    let is_known =
        |told: &&String| DIFFERENT.iter().any(|(file, test, _)| told.contains(file) && told.contains(test));
    let (known, unknown): (Vec<_>, Vec<_>) = different.iter().partition(is_known);
    eprintln!("{what}: {played} played, {left_out} groups left out, {} different as known", known.len());
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[tokio::test]
async fn draft_2020_12_is_that_of_3_1() {
    let all = groups("draft2020-12");
    let is_remote = |group: &&Group| REMOTE.contains(&(&*group.file, &*group.description));
    let (remote, good): (Vec<_>, Vec<_>) = all.iter().partition(is_remote);
    let gateway = start("3.1.0", &good, false).await;
    let (played, different) = play(&gateway, &good).await;
    assert_eq!(different.len(), DIFFERENT.len(), "what is known is still so: {different:#?}");
    agree("draft 2020-12", remote.len(), (played, different));
    assert_eq!(remote.len(), REMOTE.len());
    for group in remote {
        let checked = prepare("3.1.0", &[group], false).check().await;
        let what = &group.description;
        assert_eq!(checked.status.code(), Some(1), "{what}");
        assert!(checked.stderr.contains("nothing is fetched"), "{what}: {}", checked.stderr);
    }
}

#[tokio::test]
async fn formats_are_checked() {
    let all = groups("draft2020-12/format");
    let (unchecked, checked): (Vec<_>, Vec<_>) =
        all.iter().partition(|group| UNCHECKED.contains(&&*group.file));
    let gateway = start("3.1.0", &checked, true).await;
    agree("formats", unchecked.len(), play(&gateway, &checked).await);
}

#[tokio::test]
async fn of_draft_4_3_0_has_what_it_has() {
    let all = groups("draft4");
    let has = |group: &&Group| {
        let text = group.schema.to_string();
        !NOT_IN_3_0.iter().any(|part| text.contains(part))
    };
    let good: Vec<_> = all.iter().filter(has).collect();
    let gateway = start("3.0.3", &good, false).await;
    agree("draft 4", all.len() - good.len(), play(&gateway, &good).await);
}
