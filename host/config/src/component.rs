//! `component` of a plugin

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a plugin's component comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Component {
    /// A file.
    File(PathBuf),
    /// A file of `plugin_folder`, which is taken when it was left alone for a moment.
    Found(PathBuf),
}

impl Component {
    pub fn file(&self) -> Option<&Path> {
        match self {
            Component::File(path) | Component::Found(path) => Some(path),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Component::File(path) | Component::Found(path) => path.display().fmt(f),
        }
    }
}
