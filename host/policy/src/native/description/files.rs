//! The files of a document, and the ways from one place in them to another (`$ref`).

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::Wrong;
use crate::native::SettingsError;

/// The largest file, in bytes.
const LARGEST: u64 = 16 << 20;
/// The most files of one document.
const MOST: usize = 64;
/// How many `$ref`s may lead from one to the next.
const HOPS: usize = 32;
/// How deep collections may be nested; that of `serde_json`.
const DEPTH: usize = 128;

/// The document and what it refers to. A file that can't be read is a mistake only where it is needed:
/// examples may have something that looks like a reference.
pub(in crate::native) struct Files {
    all: Vec<File>,
}

struct File {
    /// Relative to the folder of the document.
    path: PathBuf,
    stamp: Stamp,
    root: Result<Value, String>,
}

/// How a file looked just before it was read.
#[derive(Clone)]
pub(in crate::native) struct Stamp {
    path: PathBuf,
    seen: Option<Metadata>,
}

impl Stamp {
    fn of(path: &Path) -> Self {
        Stamp { path: path.to_owned(), seen: std::fs::metadata(path).ok() }
    }

    /// Whether it looks so still.
    pub(in crate::native) fn is_current(&self) -> bool {
        let look = self.seen.as_ref().and_then(look);
        look.is_some() && std::fs::metadata(&self.path).ok().as_ref().and_then(self::look) == look
    }
}

fn look(found: &Metadata) -> Option<(SystemTime, u64, u64)> {
    Some((found.modified().ok()?, found.len(), found.ino()))
}

/// A place in one of the files.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::native) struct Spot {
    file: usize,
    /// A JSON Pointer (RFC 6901).
    pub(in crate::native) pointer: String,
}

impl Spot {
    /// The document itself.
    pub(in crate::native) fn root() -> Self {
        Spot { file: 0, pointer: String::new() }
    }

    /// The place of one of its entries or items.
    pub(in crate::native) fn at(&self, key: impl fmt::Display) -> Self {
        let key = key.to_string().replace('~', "~0").replace('/', "~1");
        Spot { file: self.file, pointer: format!("{}/{key}", self.pointer) }
    }

    /// The place that a pointer leads to from here.
    pub(in crate::native) fn below(&self, pointer: &str) -> Self {
        Spot { file: self.file, pointer: format!("{}{pointer}", self.pointer) }
    }

    pub(in crate::native) fn is_wrong(&self, message: impl fmt::Display) -> Wrong {
        Wrong { spot: self.clone(), message: message.to_string() }
    }

    /// The key or the index that it is found by.
    pub(in crate::native) fn last(&self) -> String {
        let last = self.pointer.rsplit('/').next().unwrap_or_default();
        last.replace("~1", "/").replace("~0", "~")
    }
}

impl Files {
    pub(super) fn open(document: &Path) -> Result<Self, SettingsError> {
        let fail = |message: String| SettingsError::new("/document", message);
        let folder = document.parent().unwrap_or(Path::new(""));
        let name = document.file_name().map(PathBuf::from).unwrap_or_default();
        let stamp = Stamp::of(document);
        let root = read(document).map_err(|why| fail(format!("`{}`: {why}", document.display())))?;
        let mut files = Files { all: vec![File { path: name, stamp, root: Ok(root) }] };
        let mut at = 0;
        while let Some(file) = files.all.get(at) {
            let mut named = Vec::new();
            if let Ok(root) = &file.root {
                links(root, &mut named);
            }
            let named: Vec<_> = named.iter().filter_map(|link| beside(&file.path, link)).collect();
            for path in named {
                if files.all.iter().all(|known| known.path != path) {
                    let whole = folder.join(&path);
                    let (stamp, root) = (Stamp::of(&whole), read(&whole));
                    files.all.push(File { path, stamp, root });
                }
            }
            if files.all.len() > MOST {
                return Err(fail(format!("`{}` refers to more than {MOST} files", document.display())));
            }
            at += 1;
        }
        Ok(files)
    }

    /// All but the document itself, as they looked just before they were read; none: it was not there.
    pub(super) fn referred(&self) -> impl Iterator<Item = (PathBuf, Option<Metadata>)> {
        self.all.iter().skip(1).map(|file| (file.stamp.path.clone(), file.stamp.seen.clone()))
    }

    /// One that is nowhere.
    #[cfg(test)]
    pub(in crate::native) fn of(root: Value) -> Self {
        let path = PathBuf::new();
        Files { all: vec![File { stamp: Stamp::of(&path), path, root: Ok(root) }] }
    }

    pub(in crate::native) fn stamps(&self) -> Vec<Stamp> {
        self.all.iter().map(|file| file.stamp.clone()).collect()
    }

    pub(in crate::native) fn get(&self, spot: &Spot) -> Option<&Value> {
        self.all.get(spot.file)?.root.as_ref().ok()?.pointer(&spot.pointer)
    }

    /// What is there, all references followed, and where it really is.
    pub(in crate::native) fn follow(&self, spot: &Spot) -> Result<(Spot, &Value), Wrong> {
        let mut spot = spot.clone();
        for _ in 0..HOPS {
            let Some(value) = self.get(&spot) else { return Err(spot.is_wrong("there is nothing")) };
            match value.get("$ref").and_then(Value::as_str) {
                None => return Ok((spot, value)),
                Some(link) => spot = self.link(&spot, link)?,
            }
        }
        Err(spot.is_wrong("a `$ref` that leads back to itself"))
    }

    /// Where a reference leads that stands at a place.
    pub(in crate::native) fn link(&self, from: &Spot, link: &str) -> Result<Spot, Wrong> {
        let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
        let file = match file {
            "" => from.file,
            _ => self.file(from, file)?,
        };
        let pointer = percent_decode_str(fragment).decode_utf8_lossy().into_owned();
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(from.is_wrong(format!(
                "a `$ref` by the name of an anchor: `{link}`; outside a schema with an `$id` it is followed by path, like `#/components/schemas/Pet`"
            )));
        }
        let spot = Spot { file, pointer };
        match self.get(&spot) {
            Some(_) => Ok(spot),
            None => Err(from.is_wrong(format!("a `$ref` to something that is not there: `{link}`"))),
        }
    }

    fn file(&self, from: &Spot, link: &str) -> Result<usize, Wrong> {
        let holder = self.all.get(from.file).map_or(Path::new(""), |file| &file.path);
        let Some(path) = beside(holder, link) else {
            return Err(from.is_wrong(format!(
                "a `$ref` that leads out of the document's folder: `{link}`; only files beside it are read"
            )));
        };
        let found = self.all.iter().position(|file| file.path == path);
        match found.and_then(|at| self.all.get(at).map(|file| (at, &file.root))) {
            Some((at, Ok(_))) => Ok(at),
            Some((_, Err(why))) => Err(from.is_wrong(format!("a `$ref` to `{link}`: {why}"))),
            None => Err(from.is_wrong(format!("a `$ref` to a file that was not read: `{link}`"))),
        }
    }

    /// Tells the operator.
    pub(in crate::native) fn mistake(&self, wrong: &Wrong) -> SettingsError {
        let Wrong { spot, message } = wrong;
        let file = self.all.get(spot.file).map(|file| file.path.display().to_string()).unwrap_or_default();
        SettingsError::new("/document", format!("{file}#{}: {message}", spot.pointer))
    }
}

/// The path of a linked file, relative to the document's folder, if it is below that.
fn beside(holder: &Path, link: &str) -> Option<PathBuf> {
    let file = link.split_once('#').map_or(link, |(file, _)| file);
    if file.is_empty() || file.contains(':') {
        return None;
    }
    let file = percent_decode_str(file).decode_utf8().ok()?;
    let mut path = holder.parent().map(Path::to_owned).unwrap_or_default();
    for component in Path::new(&*file).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

/// All `$ref`s, wherever they stand.
fn links<'v>(value: &'v Value, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                match value {
                    Value::String(link) if key == "$ref" => found.push(link),
                    value => links(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| links(item, found)),
        _ => {}
    }
}

fn read(path: &Path) -> Result<Value, String> {
    let found = std::fs::metadata(path).map_err(|why| why.to_string())?;
    // Asked before it is opened: opening a pipe would wait for someone to write.
    if !found.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if found.len() > LARGEST {
        return Err(format!("it has more than {} MiB", LARGEST >> 20));
    }
    let text = std::fs::read_to_string(path).map_err(|why| why.to_string())?;
    parse(&text)
}

/// JSON is nearly YAML, but is read faster, and without YAML's surprises.
fn parse(text: &str) -> Result<Value, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|why| format!("it is not JSON: {why}"));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEPTH },
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|why| format!("it is not YAML: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_beside_the_document_or_not_read() {
        let is =
            |holder: &str, link: &str| beside(Path::new(holder), link).map(|it| it.display().to_string());
        assert_eq!(is("api.yaml", "pets.yaml#/a").as_deref(), Some("pets.yaml"));
        assert_eq!(is("a/b.yaml", "../c%20d.yaml").as_deref(), Some("c d.yaml"));
        for link in ["/etc/passwd", "../x", "https://example.com/x.yaml", "a/../../x", "#/a", "file:///x"] {
            assert_eq!(is("api.yaml", link), None, "{link}");
        }
    }

    #[test]
    fn yaml_is_that_of_1_2() {
        let value = parse("on: NO\n200: {a: 1_0}\ndate: 2020-01-01\nanchor: &a [x]\nalias: *a\n").unwrap();
        assert_eq!(value["on"], "NO");
        assert!(value["200"].is_object(), "{value}");
        assert_eq!((&value["date"], &value["alias"][0]), (&"2020-01-01".into(), &"x".into()));
    }

    #[test]
    fn bombs_are_refused() {
        let deep = "[".repeat(1000);
        assert!(parse(&deep).is_err());
        assert!(parse(&format!("{{\"a\":{deep}")).is_err());
        let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
        for n in 1..12 {
            laughs += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(","));
        }
        assert!(parse(&laughs).is_err());
    }
}
