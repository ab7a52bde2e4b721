//! `limen policy new`: a policy that builds, has tests, and can be tried at once.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::StartError;

/// What the policy begins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    pub name: &'static str,
    /// What the new policy says of itself.
    pub about: &'static str,
    source: &'static str,
    /// What it has to do.
    cases: &'static str,
    /// What its README says of what it uses.
    notes: &'static str,
    /// Good ones for its settings, in TOML.
    settings: &'static str,
    /// What the plugin's table needs beside its component.
    grants: &'static str,
}

impl Template {
    pub const ALL: &[Template] = &[
        Template {
            name: "headers",
            about: "Sets a request header and hides response headers.",
            source: include_str!("../../../../sdk/templates/headers.rs"),
            cases: include_str!("../../../../sdk/templates/cases/headers.toml"),
            notes: include_str!("../../../../sdk/templates/notes/headers.md"),
            settings: "{ gate = \"north\", hide = [\"server\"] }",
            grants: "",
        },
        Template {
            name: "auth",
            about: "Lets requests pass that carry a known bearer token.",
            source: include_str!("../../../../sdk/templates/auth.rs"),
            cases: include_str!("../../../../sdk/templates/cases/auth.toml"),
            notes: include_str!("../../../../sdk/templates/notes/auth.md"),
            settings: "{ tokens = [\"change-me-please\"] }",
            grants: "",
        },
        Template {
            name: "body",
            about: "Refuses JSON objects that lack a field.",
            source: include_str!("../../../../sdk/templates/body.rs"),
            cases: include_str!("../../../../sdk/templates/cases/body.toml"),
            notes: include_str!("../../../../sdk/templates/notes/body.md"),
            settings: "{ required = [\"name\"] }",
            grants: "grants = { request_body = true }\n",
        },
        Template {
            name: "stream",
            about: "Cuts responses off that are too long, as they pass.",
            source: include_str!("../../../../sdk/templates/stream.rs"),
            cases: include_str!("../../../../sdk/templates/cases/stream.toml"),
            notes: include_str!("../../../../sdk/templates/notes/stream.md"),
            settings: "{ limit = 1000000 }",
            grants: "grants = { response_body = true }\n",
        },
    ];

    /// Those that are its own.
    fn files(&self) -> [(&'static str, &'static str); 2] {
        [("src/lib.rs", self.source), ("tests/cases.toml", self.cases)]
    }

    pub fn find(name: &str) -> Option<Template> {
        Self::ALL.iter().find(|template| template.name == name).copied()
    }
}

/// Path in the new folder, and text with placeholders.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../../../sdk/templates/Cargo.toml.template")),
    (".cargo/config.toml", include_str!("../../../../sdk/templates/cargo-config.toml")),
    ("limen.toml", include_str!("../../../../sdk/templates/limen.toml.template")),
    ("README.md", include_str!("../../../../sdk/templates/README.md.template")),
    (".gitignore", "target\n"),
];

/// The crate that policies are written with.
const SDK: &str = "limen-sdk";

/// Makes a folder for a policy of this name, whose last part is the policy's. Where one of its files is there already,
/// that is an error, and nothing is written.
pub fn scaffold(folder: &Path, template: Template, sdk: Option<&Path>) -> Result<(), StartError> {
    let folder = &fs::canonicalize(folder)
        .or_else(|_| std::path::absolute(folder))
        .map_err(|error| StartError::Machine(format!("{} can't be a folder: {error}", folder.display())))?;
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    check_name(name)?;
    let sdk = match sdk {
        None => find_sdk(folder).ok_or_else(|| {
            StartError::Machine(format!(
                "{SDK} is in no folder above this one, nor above this program\n  \
                 hint: say where it is: --sdk FOLDER, which is `sdk` in the sources of Limen"
            ))
        })?,
        Some(sdk) => fs::canonicalize(sdk).ok().filter(|sdk| is_sdk(sdk)).ok_or_else(|| {
            StartError::Machine(format!(
                "{} is not the folder of {SDK}\n  hint: it is `sdk` in the sources of Limen",
                sdk.display()
            ))
        })?,
    };
    let sdk = sdk.to_str().ok_or_else(|| StartError::Machine(format!("{} is no text", sdk.display())))?;
    let sdk = format!("{{ path = {sdk:?} }}");
    let file = name.replace('-', "_");
    let values = [
        ("name", name),
        ("file", &file),
        ("sdk", &sdk),
        ("description", template.about),
        ("settings", template.settings),
        ("grants", template.grants),
        ("notes", template.notes),
    ];
    let files =
        || FILES.iter().copied().chain(template.files()).map(|(path, text)| (folder.join(path), text));
    if let Some((there, _)) = files().find(|(path, _)| path.symlink_metadata().is_ok()) {
        return Err(StartError::Machine(format!(
            "{} is there already\n  hint: a policy begins in a folder of its own",
            there.display()
        )));
    }
    for (path, text) in files() {
        put(&path, &filled_in(text, &values))
            .map_err(|error| StartError::Machine(format!("could not write {}: {error}", path.display())))?;
    }
    Ok(())
}

/// The SDK that is at hand: in the sources that the policy, the one who makes it, or this program is in.
fn find_sdk(folder: &Path) -> Option<PathBuf> {
    let here = std::env::current_dir().ok();
    let program = std::env::current_exe().ok();
    let starts = [Some(folder), here.as_deref(), program.as_deref()];
    let folders = starts.into_iter().flatten().flat_map(Path::ancestors);
    folders.map(|above| above.join("sdk")).find(|sdk| is_sdk(sdk))
}

fn is_sdk(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml"));
    manifest.is_ok_and(|text| text.lines().any(|line| line.trim() == format!("name = {SDK:?}")))
}

/// What cargo and the configuration both take for a name.
fn check_name(name: &str) -> Result<(), StartError> {
    let is_good = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-')
        && name.len() <= 64;
    match is_good {
        true if name == SDK => Err(StartError::Machine(format!("`{name}` is the name of the SDK itself"))),
        true => Ok(()),
        false => Err(StartError::Machine(format!(
            "`{name}` is no name for a policy: up to 64 small letters, digits and `-`, a letter first"
        ))),
    }
}

fn filled_in(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
}

fn put(path: &PathBuf, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::File::create_new(path)?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_to_fill_in_and_nothing_is_overwritten() {
        let above = tempfile::tempdir().unwrap();
        for template in Template::ALL {
            let folder = above.path().join(format!("my-{}", template.name));
            scaffold(&folder, *template, None).unwrap();
            for (path, _) in FILES.iter().chain(&template.files()) {
                let text = fs::read_to_string(folder.join(path)).unwrap();
                assert!(!text.contains("{{"), "{}: {path}: {text}", template.name);
            }
            fs::remove_file(folder.join("Cargo.toml")).unwrap();
            let again = scaffold(&folder, *template, None).unwrap_err().to_string();
            assert!(again.contains("config.toml is there already"), "{again}");
            assert!(!folder.join("Cargo.toml").exists(), "nothing is written");
        }
    }

    #[test]
    fn names_are_those_that_cargo_takes() {
        for bad in ["", "limen-sdk", "-a", "1a", "A", "a b", "a/../b_", "ü", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        check_name("region-2").unwrap();
    }
}
