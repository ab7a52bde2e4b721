//! How files look, so that a change of them is seen.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use limen_config::{Attachment, Config, Errors, Target};
use limen_policy::native::{self, Documents};

use crate::component;

/// How the files of a configuration looked when they were last read.
pub struct Fingerprint(Vec<(PathBuf, Option<Look>)>);

#[derive(PartialEq, Eq)]
struct Look {
    modified: SystemTime,
    length: u64,
    /// Replacing a file makes another one of it.
    identity: u64,
    is_folder: bool,
}

impl Fingerprint {
    /// All files that a configuration is made of: its own, as they were when they were read, and those
    /// that are yet to be read: components, what TLS is made of, fixed answers, secrets and keys. (A file
    /// that a pattern of `include` will match is seen by its folder's own look.) Reads the documents, to see what
    /// they refer to.
    pub fn of(config: &Config, documents: &Documents) -> Self {
        let trust = &config.gateway.trust;
        let components = config.plugins.values();
        let components: Vec<_> =
            components.flat_map(|plugin| component::files(&plugin.component, trust)).collect();
        let attached = config.routes.iter().flat_map(|route| &route.policies);
        let natives: BTreeSet<_> = attached.clone().flat_map(native_files).collect();
        // One document may stand on many routes. It is looked at before it is read.
        let described: BTreeSet<_> = attached.filter_map(document).collect();
        let described: Vec<_> = described.into_iter().map(look).collect();
        let referred = described.iter().flat_map(|(document, _)| documents.referred(document));
        let referred = referred.map(|(file, seen)| (file, seen.as_ref().and_then(Look::of)));
        let referred: Vec<_> = referred.collect();
        let tls = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let tls = tls.flat_map(limen_config::Tls::files);
        let answers = config.routes.iter().filter_map(|route| route.action.file());
        let fallbacks = config.upstreams.values().filter_map(|upstream| upstream.fallback.as_ref());
        let answers = answers.chain(fallbacks.filter_map(|fallback| fallback.file()));
        let upstreams = config.upstreams.values().map(|upstream| &upstream.tls);
        let upstreams = upstreams.flat_map(|tls| [&tls.roots, &tls.cert, &tls.key]).flatten();
        let secrets =
            config.secrets.values().flat_map(|secret| [Some(&secret.current), secret.previous.as_ref()]);
        let secrets = secrets.flatten().filter_map(limen_config::SecretSource::file);
        let secrets = secrets.chain(config.key_sets.values().flat_map(limen_config::KeySet::files));
        let registries = config.registries.values();
        let registries = registries.flat_map(|registry| [&registry.roots, &registry.docker_config]).flatten();
        let token = config.admin.as_ref().and_then(|admin| admin.token_file.as_ref());
        let named = components.iter().chain(tls).chain(answers).chain(upstreams);
        let named = named.chain(token).chain(secrets).chain(registries).chain(&natives);
        // Those were read already: how they look now may not be what was read.
        let read = config.files.iter().chain(&config.folders);
        let read = read.map(|seen| (seen.path.clone(), Look::of(&seen.metadata)));
        let read = read.chain(described).chain(referred);
        Fingerprint(read.chain(named.cloned().map(look)).collect())
    }

    /// The same files as they look now.
    pub fn again(&self) -> Self {
        Fingerprint(self.0.iter().map(|(file, _)| look(file.clone())).collect())
    }

    /// Files that a refused configuration names and that could not be read are looked for, too: with
    /// them it may be a good one.
    pub fn add_missing(&mut self, errors: &Errors) {
        for file in errors.iter().filter_map(|error| error.unreadable.as_ref()) {
            if !self.0.iter().any(|(known, _)| known == file) {
                self.0.push(look(file.clone()));
            }
        }
    }

    pub fn is_outdated(&self) -> bool {
        self.0.iter().any(|(file, seen)| look(file.clone()).1 != *seen)
    }

    /// What the files are called.
    pub fn names(&self) -> BTreeSet<OsString> {
        self.0.iter().filter_map(|(file, _)| Some(file.file_name()?.to_owned())).collect()
    }

    /// The folders that have to be watched to see a change.
    pub fn folders(&self) -> BTreeSet<PathBuf> {
        let folders = self.0.iter().filter_map(|(file, look)| match look {
            Some(Look { is_folder: true, .. }) => Some(file.as_path()),
            _ => file.parent(),
        });
        let here = Path::new(".");
        folders.map(|folder| if folder.as_os_str().is_empty() { here } else { folder }.to_owned()).collect()
    }
}

impl Look {
    fn of(found: &Metadata) -> Option<Self> {
        Some(Look {
            modified: found.modified().ok()?,
            length: found.len(),
            identity: found.ino(),
            is_folder: found.is_dir(),
        })
    }
}

/// The files that a built-in policy is made of.
fn native_files(attachment: &Attachment) -> Vec<PathBuf> {
    let Target::Native(name) = &attachment.target else { return Vec::new() };
    let folder = attachment.place.file.parent().unwrap_or(Path::new(""));
    native::files(name, attachment.settings.value(), folder)
}

/// The OpenAPI document that it is made of, if it is.
fn document(attachment: &Attachment) -> Option<PathBuf> {
    let Target::Native(name) = &attachment.target else { return None };
    let folder = attachment.place.file.parent().unwrap_or(Path::new(""));
    native::document(name, attachment.settings.value(), folder)
}

fn look(file: PathBuf) -> (PathBuf, Option<Look>) {
    let here = if file.as_os_str().is_empty() { Path::new(".") } else { &file };
    let look = std::fs::metadata(here).ok().and_then(|found| Look::of(&found));
    (file, look)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_document_refers_to_is_known_as_it_was_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let api = file("api.yaml", "openapi: 3.1.0\npaths: {/pets: {$ref: 'pets.yaml'}}\n");
        let pets = "get: {responses: {'200': {description: all}}}\n";
        file("pets.yaml", pets);
        let route = "[[listener]]\naddress = '127.0.0.1:0'\n[[route]]\npath = '/**'\nrespond = { status = 204 }\n\
                     policies = [{ use = 'openapi', with = { document = 'api.yaml' } }]\n";
        let config = crate::load_config(&file("limen.toml", route)).unwrap();
        let documents = Documents::default();
        assert_eq!(documents.referred(&api).len(), 1);
        assert!(!Fingerprint::of(&config, &documents).is_outdated());
        file("pets.yaml", &pets.replace("all", "all of them"));
        assert!(Fingerprint::of(&config, &documents).is_outdated(), "it was read before that");
    }
}
