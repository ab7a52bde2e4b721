//! An API as its OpenAPI document describes it: files, paths and operations. What policies make of them is
//! theirs.

mod documents;
mod files;
mod operations;
mod paths;
mod servers;

use std::path::Path;
use std::sync::Arc;

use http::Method;
use serde_json::Value;

use super::SettingsError;

pub use documents::Documents;
pub(super) use files::{Files, Spot, Stamp};
pub(super) use paths::{Found, Tree};

/// A document and the files it refers to, read and checked as far as its outline goes.
pub(super) struct Description {
    pub(super) files: Arc<Files>,
    pub(super) version: Version,
    pub(super) operations: Vec<Operation>,
    /// Leads from a path to the operations there, as indices into `operations`.
    pub(super) paths: Tree,
}

/// What the document says it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V3_0,
    V3_1,
}

/// One method of one path.
pub(super) struct Operation {
    pub(super) method: Method,
    /// As the document has it: "/pets/{id}".
    pub(super) path: String,
    pub(super) spot: Spot,
    /// What its path begins with, server by server.
    pub(super) bases: Vec<String>,
    /// Its own parameters, and those of its path that it has none instead of.
    pub(super) parameters: Vec<Spot>,
}

/// Something in the document that can't be meant so, and where.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) spot: Spot,
    pub(super) message: String,
}

impl Description {
    /// `base` is in place of the paths of `servers`.
    pub(super) fn open(
        file: &Path,
        base: Option<&str>,
        documents: &Documents,
    ) -> Result<Self, SettingsError> {
        let files = documents.open(file)?;
        Self::read(&files, base)
            .map_err(|wrong| files.mistake(&wrong))
            .map(|(version, operations, paths)| Description { files, version, operations, paths })
    }

    fn read(files: &Files, base: Option<&str>) -> Result<(Version, Vec<Operation>, Tree), Wrong> {
        let version = version(files)?;
        let (operations, paths) = operations::read(files, base)?;
        Ok((version, operations, paths))
    }
}

impl Operation {
    /// What it is called: by its `operationId`, or else by method and path.
    pub(super) fn name(&self, files: &Files) -> String {
        let id = files.get(&self.spot).and_then(|operation| operation.get("operationId"));
        match id.and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => format!("{} {}", self.method, self.path),
        }
    }
}

fn version(files: &Files) -> Result<Version, Wrong> {
    let root = Spot::root();
    let document = files.get(&root);
    let written = document.and_then(|document| document.get("openapi"));
    match written.and_then(Value::as_str) {
        Some(version) if version.starts_with("3.0.") => Ok(Version::V3_0),
        Some(version) if version.starts_with("3.1.") => Ok(Version::V3_1),
        Some(version) => Err(root.is_wrong(format!("OpenAPI {version}; expected 3.0 or 3.1"))),
        None if document.is_some_and(|document| document.get("swagger").is_some()) => {
            Err(root.is_wrong("a document of Swagger 2.0; expected OpenAPI 3.0 or 3.1"))
        }
        None => Err(root.is_wrong("no OpenAPI document: it has no `openapi = \"3.1.0\"`, or 3.0")),
    }
}
