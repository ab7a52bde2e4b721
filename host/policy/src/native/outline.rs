//! The routes of an API, for whoever writes them.

use std::path::Path;

use super::SettingsError;
use super::description::{Description, Documents};

/// One operation of an OpenAPI document, as a route needs it.
#[derive(Debug)]
pub struct Outline {
    /// Its `operationId`, or method and path.
    pub name: String,
    pub method: String,
    /// With the path of a server before it: "/v1/pets/{id}".
    pub path: String,
}

/// The operations of a document, for each of its servers' paths. `base` is in place of those.
pub fn outline(document: &Path, base: Option<&str>) -> Result<Vec<Outline>, SettingsError> {
    let Description { files, operations, .. } = Description::open(document, base, &Documents::default())?;
    let outlines = operations.iter().flat_map(|operation| {
        let name = operation.name(&files);
        let method = operation.method.to_string();
        operation.bases.iter().map(move |base| Outline {
            name: name.clone(),
            method: method.clone(),
            path: format!("{base}{}", operation.path),
        })
    });
    Ok(outlines.collect())
}
