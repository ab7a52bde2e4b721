//! Whatever a file holds, loading it ends with a configuration or with errors that can be shown.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may panic

use std::fs;
use std::path::{Path, PathBuf};

use limen_config::{Config, Natives};

const NATIVES: Natives<'static> = Natives(&["cors", "headers", "jwt"]);

/// A folder in which the complete good configuration can be changed.
fn folder(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    for (from, to) in [
        ("files/region.wasm", "files/region.wasm"),
        ("files/certs/api.pem", "files/certs/api.pem"),
        ("files/certs/api.key", "files/certs/api.key"),
        ("good/teams/orders.toml", "good/teams/orders.toml"),
    ] {
        let to = root.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(Path::new("tests/ui").join(from), to).unwrap();
    }
    root.join("good")
}

/// Loads a text and answers whether it is good; what is not must say why.
fn is_good(folder: &Path, text: &[u8]) -> bool {
    let file = folder.join("limen.toml");
    fs::write(&file, text).unwrap();
    match Config::load(&file, &NATIVES) {
        Ok(_) => true,
        Err(errors) => {
            assert!(!errors.is_empty(), "{}", String::from_utf8_lossy(text));
            assert!(errors.to_string().contains("error"));
            false
        }
    }
}

fn complete() -> Vec<u8> {
    fs::read("tests/ui/good/complete.toml").unwrap()
}

#[test]
fn cut_off_at_every_byte() {
    let (folder, text) = (folder("cut"), complete());
    assert!(is_good(&folder, &text));
    for end in 0..text.len() {
        is_good(&folder, &text[..end]);
    }
}

#[test]
fn changed_at_every_byte() {
    let (folder, text) = (folder("changed"), complete());
    for at in 0..text.len() {
        // Each of them at every eighth byte: all at every byte would take half a minute.
        for byte in [[b'"', b'[', b'}', b'\n', b'=', b'.', 0, 0xff][at % 8], b'x'] {
            let mut changed = text.clone();
            changed[at] = byte;
            is_good(&folder, &changed);
        }
    }
}

#[test]
fn without_each_line_and_with_each_line_twice() {
    let (folder, text) = (folder("lines"), String::from_utf8(complete()).unwrap());
    let lines: Vec<&str> = text.lines().collect();
    for at in 0..lines.len() {
        let without: Vec<&str> = [&lines[..at], &lines[at + 1..]].concat();
        is_good(&folder, without.join("\n").as_bytes());
        let twice: Vec<&str> = [&lines[..=at], &lines[at..]].concat();
        is_good(&folder, twice.join("\n").as_bytes());
    }
}

#[test]
fn too_much() {
    let folder = folder("much");
    let smallest = fs::read_to_string("tests/ui/good/smallest.toml").unwrap();
    let many = "policies = [".to_owned() + &"\"nobody\", ".repeat(20_000) + "]";
    for (what, more) in [
        ("arrays in arrays", format!("policies = {}", "[".repeat(100_000))),
        ("tables in tables", format!("policies = {}", "{a=".repeat(100_000))),
        ("dotted keys", format!("{}a = 1", "a.".repeat(100_000))),
        ("a long header", format!("[{}a]", "a.".repeat(100_000))),
        ("errors", many),
        ("keys", (0..20_000).map(|n| format!("k{n} = 1\n")).collect()),
        ("syntax errors", "= = =\n".repeat(20_000)),
        ("a long key", format!("{} = 1", "k".repeat(1_000_000))),
        ("a long string", format!("name = \"{}\"", "x".repeat(1_000_000))),
        ("more than a file may hold", format!("# {}", "x".repeat(16 << 20))),
    ] {
        assert!(!is_good(&folder, format!("{smallest}{more}\n").as_bytes()), "{what}");
    }
    let data =
        format!("policies = [{{ use = \"cors\", with = {{ a = [{}] }} }}]\n", "[1, 2], ".repeat(50_000));
    assert!(is_good(&folder, (smallest + &data).as_bytes()));
}
