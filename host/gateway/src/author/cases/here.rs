//! Which files of cases, and which component.

use std::path::{Path, PathBuf};

use super::super::{build, must_be_there};
use crate::StartError;

/// Where a policy keeps its cases.
const FOLDER: &str = "tests";

pub struct Here {
    /// In their order; at least one.
    pub files: Vec<PathBuf>,
    pub component: PathBuf,
}

impl Here {
    /// Finds the files, and builds the component if there is none.
    pub fn find(paths: &[PathBuf], component: Option<&Path>) -> Result<Self, StartError> {
        let mut files = Vec::new();
        let mut folders: Vec<PathBuf> = Vec::new();
        for path in paths {
            // A file of cases says so itself when it is read.
            if path.extension().is_none_or(|it| it != "toml") {
                must_be_there(path)?;
            }
            let folder = match path.is_dir() {
                true => {
                    files.extend(cases_in(path)?);
                    path.clone()
                }
                false => {
                    files.push(path.clone());
                    policy_of(path)
                }
            };
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        let component = match (component, &folders[..]) {
            (Some(component), _) => component.to_owned(),
            (None, [folder]) => build(folder)?,
            (None, _) => {
                let message =
                    "these are cases of several policies: test one at a time, or name the --component";
                return Err(StartError::Machine(message.to_owned()));
            }
        };
        Ok(Here { files, component })
    }
}

fn cases_in(folder: &Path) -> Result<Vec<PathBuf>, StartError> {
    let inner = if folder == Path::new(".") { PathBuf::from(FOLDER) } else { folder.join(FOLDER) };
    let found = std::fs::read_dir(&inner).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = found.filter(|path| path.extension().is_some_and(|it| it == "toml")).collect();
    files.sort();
    if files.is_empty() {
        let what = format!(
            "no cases: there is no {}\n  hint: `limen policy test --help` shows one",
            inner.join("*.toml").display()
        );
        return Err(StartError::Machine(what));
    }
    Ok(files)
}

/// The folder around a file that cargo could build.
pub fn policy_of(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let found = absolute.ancestors().skip(1).find(|folder| folder.join("Cargo.toml").is_file());
    found.or(absolute.parent()).unwrap_or(Path::new(".")).to_owned()
}
