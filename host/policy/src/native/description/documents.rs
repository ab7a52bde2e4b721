//! The documents of a configuration, each read once while it is loaded.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Files;
use crate::native::SettingsError;

/// OpenAPI documents that somebody has asked for, as they were read then: to be gone when the configuration is loaded, for
/// they take many times the memory of what policies make of them.
#[derive(Default)]
pub struct Documents(RefCell<BTreeMap<PathBuf, Result<Arc<Files>, SettingsError>>>);

impl Documents {
    /// The document of this path and what it refers to.
    pub(super) fn open(&self, document: &Path) -> Result<Arc<Files>, SettingsError> {
        let mut known = self.0.borrow_mut();
        if let Some(read) = known.get(document) {
            return read.clone();
        }
        let read = Files::open(document).map(Arc::new);
        known.insert(document.to_owned(), read.clone());
        read
    }

    /// The files that a document refers to, and they in turn, as they looked just before they were read, if they were
    /// there; none of them if the document can't be read.
    pub fn referred(&self, document: &Path) -> Vec<(PathBuf, Option<Metadata>)> {
        self.open(document).map(|files| files.referred().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use limen_store::StateFile;
    use serde_json::{Value, json};

    use super::Documents;
    use crate::Policy;
    use crate::native::{Kept, Materials, SettingsError, Storeroom, find};
    use crate::vault::Vault;

    fn build(
        name: &str,
        settings: &Value,
        folder: &Path,
        documents: &Documents,
    ) -> Result<Box<dyn Policy>, SettingsError> {
        let (terms, file) = (limen_config::State::default(), StateFile::tried());
        let store = Storeroom { terms: &terms, file: &file, shared: None };
        let (vault, kept) = (Vault::default(), Kept::default());
        let materials = Materials::new("test", folder, &vault, documents, &kept, store);
        find(name).unwrap().build(settings, &materials)
    }

    #[test]
    fn a_document_is_read_once_for_all_that_refer_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let (api, pets) = (folder.path().join("api.yaml"), folder.path().join("pets.yaml"));
        let paths = "openapi: 3.1.0\npaths: {/pets: {$ref: 'pets.yaml'}}\n";
        std::fs::write(&api, paths).unwrap();
        std::fs::write(&pets, "get: {responses: {'200': {description: all}}}\n").unwrap();
        let documents = Documents::default();
        let referred = documents.referred(&api);
        assert!(matches!(&*referred, [(path, Some(_))] if *path == pets), "{referred:?}");
        std::fs::remove_file(&pets).unwrap();
        std::fs::write(&api, "{").unwrap();
        let settings = json!({ "document": "api.yaml" });
        for name in ["openapi", "mock", "mock"] {
            assert!(build(name, &settings, folder.path(), &documents).is_ok(), "{name}");
            let later = build(name, &settings, folder.path(), &Documents::default());
            assert!(later.is_err(), "the next time it is read again: {name}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_wrong_for_each() {
        let folder = tempfile::tempdir().unwrap();
        let documents = Documents::default();
        assert!(documents.referred(&folder.path().join("api.yaml")).is_empty());
        std::fs::write(folder.path().join("api.yaml"), "openapi: 3.1.0\npaths: {}\n").unwrap();
        for name in ["openapi", "mock"] {
            let refused = build(name, &json!({ "document": "api.yaml" }), folder.path(), &documents);
            let error = refused.err().unwrap();
            assert_eq!(error.pointer, "/document");
            assert!(error.message.contains("api.yaml"), "{}", error.message);
        }
    }
}
