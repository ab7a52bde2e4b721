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
            settings: "{ gate = \"north\", hide = [\"server\"] }",
            grants: "",
        },
        Template {
            name: "auth",
            about: "Lets requests pass that carry a known bearer token.",
            source: include_str!("../../../../sdk/templates/auth.rs"),
            cases: include_str!("../../../../sdk/templates/cases/auth.toml"),
            settings: "{ tokens = [\"change-me-please\"] }",
            grants: "",
        },
        Template {
            name: "body",
            about: "Refuses JSON objects that lack a field.",
            source: include_str!("../../../../sdk/templates/body.rs"),
            cases: include_str!("../../../../sdk/templates/cases/body.toml"),
            settings: "{ required = [\"name\"] }",
            grants: "grants = { request_body = true }\n",
        },
        Template {
            name: "stream",
            about: "Cuts responses off that are too long, as they pass.",
            source: include_str!("../../../../sdk/templates/stream.rs"),
            cases: include_str!("../../../../sdk/templates/cases/stream.toml"),
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

/// Makes a folder for a policy of this name, whose last part is the policy's. Files that are there are
/// left alone: then it is an error.
pub fn scaffold(folder: &Path, template: Template, sdk: Option<&Path>) -> Result<(), StartError> {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    check_name(name)?;
    let sdk = match sdk {
        None => format!("\"{}\"", env!("CARGO_PKG_VERSION")),
        Some(sdk) => {
            let found = fs::canonicalize(sdk).ok().filter(|sdk| sdk.join("Cargo.toml").is_file());
            let found = found.as_deref().and_then(Path::to_str);
            let found = found.ok_or_else(|| {
                StartError::Machine(format!("{} is not the folder of the SDK", sdk.display()))
            })?;
            format!("{{ path = {found:?} }}")
        }
    };
    let file = name.replace('-', "_");
    let values = [
        ("name", name),
        ("file", &file),
        ("sdk", &sdk),
        ("description", template.about),
        ("settings", template.settings),
        ("grants", template.grants),
    ];
    for (path, text) in FILES.iter().copied().chain(template.files()) {
        let path = folder.join(path);
        put(&path, &filled_in(text, &values))
            .map_err(|error| StartError::Machine(format!("could not write {}: {error}", path.display())))?;
    }
    Ok(())
}

/// What cargo and the configuration both take for a name.
fn check_name(name: &str) -> Result<(), StartError> {
    let is_good = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-')
        && name.len() <= 64;
    match is_good {
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
            let again = scaffold(&folder, *template, None).unwrap_err().to_string();
            assert!(again.contains("Cargo.toml"), "{again}");
        }
    }

    #[test]
    fn names_are_those_that_cargo_takes() {
        for bad in ["", "-a", "1a", "A", "a b", "a/../b_", "ü", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
        check_name("region-2").unwrap();
    }
}
