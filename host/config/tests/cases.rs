//! Files of cases: every mistake that can be in one, as a golden file, as in `ui.rs`.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::path::{Path, PathBuf};

use limen_config::suite::{Suite, UnderTest};

fn load(file: &Path) -> Result<Suite, String> {
    let component = std::path::absolute("tests/ui/files/region.wasm").unwrap();
    let under_test = UnderTest {
        name: "mine",
        component: &component,
        phases: &["request", "response", "log"],
        outcomes: &["next", "reply", "none"],
        failures: &["trap", "cpu-limit"],
    };
    Suite::load(file, &under_test).map_err(|errors| errors.to_string())
}

fn files(folder: &str) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = found.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn every_message_is_as_it_was() {
    for file in files("tests/cases") {
        let reported = format!("{}\n", load(&file).unwrap_err());
        let golden = file.with_extension("err");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &reported).unwrap();
        }
        assert_eq!(fs::read_to_string(&golden).unwrap_or_default(), reported, "{}", file.display());
    }
}

#[test]
fn every_good_file_loads() {
    for file in files("tests/cases/good") {
        let suite = load(&file).unwrap_or_else(|errors| panic!("{}\n{errors}", file.display()));
        assert!(!suite.cases.is_empty());
    }
}

/// What the case does not say the file does; and each has a configuration of its own.
#[test]
fn a_case_is_a_configuration() {
    let suite = load(Path::new("tests/cases/good/reference.toml")).unwrap();
    let first = suite.cases.first().unwrap();
    let names: Vec<_> = first.config.upstreams.keys().map(String::as_str).collect();
    assert_eq!(names, ["authz", "origin"]);
    let policy = first.config.routes.first().unwrap().policies.first().unwrap();
    assert_eq!(policy.settings.value()["header"], "x-key");
    assert_eq!(suite.cases.last().unwrap().case.steps.first().unwrap().fetched.len(), 1, "those of the file");

    let most = load(Path::new("tests/cases/good/most.toml")).unwrap();
    let case = &most.cases.first().unwrap().case;
    assert!(case.http2);
    let step = case.steps.first().unwrap();
    assert_eq!(step.request.content.pieces().collect::<Vec<_>>(), [b"one", b"two"]);
    let pieces: Vec<_> = step.answer.content.pieces().map(<[u8]>::len).collect();
    assert_eq!(pieces, [3, 3, 3, 3, 3, 3, 2]);
}
