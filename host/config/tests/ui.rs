//! Every message that a user can get, as a golden file.
//!
//! `tests/ui/NAME.toml` is loaded and what is reported compared with `tests/ui/NAME.err`. After a
//! wanted change, `BLESS=1 cargo test -p limen-config --test ui` writes the `.err` files anew; read
//! the difference before you keep it. Files in folders below are there to be included or named.

#![allow(clippy::unwrap_used)] // a test may panic

use std::fs;
use std::path::{Path, PathBuf};

use limen_config::{Config, Natives};

const NATIVES: Natives<'static> = Natives(&["cors", "headers", "jwt"]);

fn cases(folder: &str, extension: &str) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = found.filter(|path| path.extension().is_some_and(|it| it == extension)).collect();
    cases.sort();
    cases
}

#[test]
fn every_message_is_as_it_was() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut wrong = Vec::new();
    for case in cases("tests/ui", "toml") {
        let reported = match Config::load(&case, &NATIVES) {
            Ok(_) => "no error at all".to_owned(),
            Err(errors) => errors.to_string(),
        };
        let golden = case.with_extension("err");
        if bless {
            fs::write(&golden, format!("{reported}\n")).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if expected != format!("{reported}\n") {
            wrong.push(format!("{}\nexpected:\n{expected}\nreported:\n{reported}\n", case.display()));
        }
        assert_ne!(reported, "no error at all", "{} has no mistake in it", case.display());
    }
    let count = wrong.len();
    assert!(
        wrong.is_empty(),
        "{}\n{count} differ; if that is wanted: BLESS=1 cargo test -p limen-config --test ui",
        wrong.join("\n")
    );
}

#[test]
fn every_golden_file_has_its_other_half() {
    for case in cases("tests/ui", "toml") {
        let blessing = std::env::var_os("BLESS").is_some();
        assert!(
            blessing || case.with_extension("err").exists(),
            "{} has no .err: run with BLESS=1",
            case.display()
        );
    }
    for golden in cases("tests/ui", "err") {
        assert!(golden.with_extension("toml").exists(), "{} has no .toml", golden.display());
    }
}

/// The promise: all mistakes of all files in one run, and no other.
#[test]
fn twelve_mistakes_over_two_files_are_those_twelve() {
    let errors = Config::load("tests/ui/twelve.toml", &NATIVES).unwrap_err();
    let found: Vec<_> = errors
        .iter()
        .map(|it| (it.place.file.file_name().unwrap().to_str().unwrap(), it.place.line, &*it.place.key))
        .collect();
    let included = Path::new("tests/ui/files/twelve.toml").file_name().unwrap().to_str().unwrap();
    assert_eq!(errors.len(), 12, "{found:#?}");
    assert!(found.iter().any(|(file, ..)| *file == included));
    assert!(errors.to_string().ends_with("12 errors in 2 files"), "{errors}");
}

#[test]
fn every_good_file_loads() {
    for case in cases("tests/ui/good", "toml") {
        if let Err(errors) = Config::load(&case, &NATIVES) {
            panic!("{}\n{errors}", case.display());
        }
    }
}

#[test]
fn files_that_cannot_be_read() {
    for (path, message) in [
        ("tests/ui/none.toml", "cannot read `tests/ui/none.toml`: no such file"),
        ("tests/ui", "cannot read `tests/ui`: it is a directory"),
        ("tests/ui/files/latin1.toml", "invalid UTF-8"),
    ] {
        let errors = Config::load(path, &NATIVES).unwrap_err();
        assert_eq!(errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>(), [message]);
        assert!(errors.to_string().contains(path), "{errors}");
    }
}
