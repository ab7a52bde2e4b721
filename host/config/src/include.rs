//! `include`: further files, and what may stand in them

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::section::{Section, Sink, section};
use crate::source::{Document, Text, io_phrase};
use crate::value::{Value, choice, list, table};
use crate::{ConfigError, Place, Seen};

section! {
    /// `include = [{ files = ["teams/*.toml"], may = ["route", "policy", "upstream"] }]`. Only in
    /// the main file: an included file includes no others.
    struct Include(section) {
        /// `files` (required): paths relative to the main file; `*` in the last part stands for any
        /// text in a file's name.
        files: Vec<Meant> = section.required("files", each_file),

        /// `may`: the sections that these files may contain, so that a team's file can't grant
        /// itself a plugin. Of "route", "policy", "upstream" (these three are the default),
        /// "listener", "plugin", "registry", "secret", "key_set" and "store".
        may: Vec<&'static str> = section.or("may", list(choice(SECTIONS)), vec!["route", "policy", "upstream"]),

        /// Where it stands in the file.
        place: Place = Some(section.place()),
    }
}

const SECTIONS: &[(&str, &str)] = &[
    ("route", "route"),
    ("policy", "policy"),
    ("upstream", "upstream"),
    ("listener", "listener"),
    ("plugin", "plugin"),
    ("registry", "registry"),
    ("secret", "secret"),
    ("key_set", "key_set"),
    ("store", "store"),
];

/// What one of `files` means.
#[derive(Debug, Clone)]
struct Meant {
    found: Vec<Found>,
    /// Of a pattern: where further files may appear.
    folder: Option<Seen>,
}

/// A file to be included.
#[derive(Debug, Clone)]
struct Found {
    path: PathBuf,
    /// Named as it is, without a `*`.
    literal: bool,
    place: Place,
}

/// Who includes a file, and what it may contain.
#[derive(Debug)]
pub(crate) struct Included {
    pub(crate) may: Vec<&'static str>,
    pub(crate) place: Place,
}

/// All that the main file includes.
pub(crate) struct Opened {
    pub(crate) files: Vec<(Text, Included)>,
    /// The folders that patterns look into.
    pub(crate) folders: Vec<Seen>,
    /// Whether it is known which files are meant.
    pub(crate) complete: bool,
}

/// Opens everything that the main file includes.
pub(crate) fn open(main: &Document<'_>, sink: &Sink, errors: &mut Vec<ConfigError>) -> Opened {
    let root = Section::root(main, sink);
    let includes = root.or("include", list_leniently, Vec::new());
    let complete = includes.as_ref().is_some_and(|all| all.iter().all(Option::is_some));
    let mut seen: BTreeMap<PathBuf, Option<Place>> = BTreeMap::new();
    seen.insert(identity(&main.source.path), None);

    let mut included: Vec<(Text, Included)> = Vec::new();
    let mut folders = Vec::new();
    for include in includes.into_iter().flatten().flatten() {
        folders.extend(include.files.iter().filter_map(|meant| meant.folder.clone()));
        for found in include.files.into_iter().flat_map(|meant| meant.found) {
            match seen.insert(identity(&found.path), Some(found.place.clone())) {
                None => {}
                // `*.toml` beside the main file also finds the main file.
                Some(None) if !found.literal => continue,
                before => {
                    let place = before
                        .flatten()
                        .map_or_else(|| "as the main file".to_owned(), |place| format!("at {place}"));
                    sink.push(
                        ConfigError::new(
                            found.place,
                            format!("`{}` is included twice", found.path.display()),
                        )
                        .expected("each file only once")
                        .hint(format!("it is already read {place}")),
                    );
                    continue;
                }
            }
            match Text::open(&found.path, included.len() + 1) {
                Ok(text) => {
                    included
                        .push((text, Included { may: include.may.clone(), place: include.place.clone() }));
                }
                // There is nothing in the file to point to but, with broken UTF-8, a place.
                Err(error) if error.place.line > 0 => errors.push(*error),
                Err(error) => errors.push(ConfigError { place: found.place, ..*error }),
            }
        }
    }
    Opened { files: included, folders, complete }
}

/// One that can't be read does not keep the others from being read.
fn each_file(value: &Value<'_>) -> Option<Vec<Meant>> {
    let items: Vec<_> = value.items("an array of paths")?.collect();
    if items.is_empty() {
        return value.fail(value.error("an empty array").expected("at least one item"));
    }
    Some(items.iter().filter_map(files).collect())
}

/// One broken include does not keep the others from being read.
fn list_leniently(value: &Value<'_>) -> Option<Vec<Option<Include>>> {
    let items = value.items("an array of tables `{ files = [...], may = [...] }`")?;
    Some(items.map(|item| table(Include::read)(&item)).collect())
}

fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The files that one of `files` names, sorted.
fn files(value: &Value<'_>) -> Option<Meant> {
    const EXPECTED: &str = "a path like \"teams/users.toml\" or \"teams/*.toml\"";
    let text = value.text(EXPECTED)?;
    if text.is_empty() || text.contains('\0') {
        return value.fail(value.error("not a path").expected(EXPECTED));
    }
    let found = |path: PathBuf, literal: bool| Found { path, literal, place: value.place() };
    let Some((folder, name)) = split_glob(&text) else {
        return value.fail(
            value
                .error(format!("`*` in a folder's name: `{text}`"))
                .expected("`*` only in the last part of the path"),
        );
    };
    let folder = value.source.folder().join(folder);
    let Some(pattern) = name.contains('*').then(|| simple(name)).flatten() else {
        return Some(Meant { found: vec![found(folder.join(name), true)], folder: None });
    };
    match matching(&folder, &pattern) {
        Ok((paths, metadata)) => {
            let found = paths.into_iter().map(|path| found(path, false)).collect();
            Some(Meant { found, folder: Some(Seen { path: folder, metadata }) })
        }
        Err(why) => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
            let message = format!("cannot read the folder `{}`: {}", folder.display(), io_phrase(&why));
            value.fail(
                value
                    .error(message)
                    .expected("a folder relative to the main file")
                    .unreadable(folder)
                    .hint("a `*` that matches nothing is fine in a folder that exists"),
            )
        }
    }
}

/// Folder and name; nothing if the folder has a `*`.
fn split_glob(text: &str) -> Option<(&str, &str)> {
    let at = text.rfind('/').map_or(0, |at| at + 1);
    let (folder, name) = text.split_at_checked(at)?;
    (!folder.contains('*')).then_some((folder, name))
}

/// A pattern in which only `*` is special.
fn simple(name: &str) -> Option<Pattern> {
    let literal: Vec<String> = name.split('*').filter(|part| !part.is_empty()).map(Pattern::escape).collect();
    let (first, last) = (name.starts_with('*'), name.ends_with('*'));
    let star = |yes: bool| if yes { "*" } else { "" };
    let middle =
        if literal.is_empty() { String::new() } else { format!("{}{}", literal.join("*"), star(last)) };
    Pattern::new(&format!("{}{middle}", star(first))).ok()
}

/// The files of a folder that match, and how the folder looked before it was read.
fn matching(folder: &Path, pattern: &Pattern) -> std::io::Result<(Vec<PathBuf>, Metadata)> {
    // Editors leave hidden files beside the one that is edited.
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::default() };
    let mut paths = Vec::new();
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let metadata = std::fs::metadata(here)?;
    for entry in std::fs::read_dir(here)? {
        let name = entry?.file_name();
        let path = folder.join(&name);
        if name.to_str().is_some_and(|name| pattern.matches_with(name, options)) && !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok((paths, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_star_is_special() {
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::default() };
        let matches = |pattern: &str, name: &str| simple(pattern).unwrap().matches_with(name, options);
        for (pattern, name) in [
            ("*.toml", "a.toml"),
            ("*", "a"),
            ("a*", "a"),
            ("a*b*c", "aXbYc"),
            ("[x]*", "[x]y"),
            ("**", "a"),
            ("a**b", "ab"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.toml", ".a.toml"), ("*.toml", "a.tom"), ("a?*", "ab"), ("[ab]*", "a"), ("a*b", "a")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn folders_and_names() {
        assert_eq!(split_glob("a.toml"), Some(("", "a.toml")));
        assert_eq!(split_glob("/etc/x/*.toml"), Some(("/etc/x/", "*.toml")));
        assert_eq!(split_glob("*/a.toml"), None);
    }
}
