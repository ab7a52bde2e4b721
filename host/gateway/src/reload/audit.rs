//! What the audit log reads of a reload.

use limen_config::Errors;
use serde_json::json;

use crate::edition::Edition;
use crate::observe::audit::Who;
use crate::snapshot::{KeptBack, Snapshot};

/// Notes what became of it: a configuration in force, or refused; and each plugin of which there is another
/// version now.
pub fn note(who: &Who, before: &Edition, after: &Edition, result: &Result<Vec<KeptBack>, Errors>) {
    // Where the log itself is no longer written, that is the last line of it.
    let Some(audit) = after.snapshot.audit.as_ref().or(before.snapshot.audit.as_ref()) else { return };
    let file = after.config.file.display().to_string();
    match result {
        Err(errors) => audit.note(who, "config.refused", json!({ "file": file, "errors": errors.len() })),
        Ok(_) => {
            let files: Vec<_> =
                after.config.files.iter().map(|file| file.path.display().to_string()).collect();
            let routes = after.snapshot.routes.len();
            audit.note(who, "config", json!({ "file": file, "files": files, "routes": routes }));
            for (name, from, to) in changed_plugins(&before.snapshot, &after.snapshot) {
                audit.note(who, "plugin", json!({ "name": name, "from": from, "to": to }));
            }
        }
    }
}

/// Name, and version before and after: none where it was not there.
fn changed_plugins(before: &Snapshot, after: &Snapshot) -> Vec<(String, Option<String>, Option<String>)> {
    let version =
        |snapshot: &Snapshot, name: &str| snapshot.plugins.get(name).map(|plugin| plugin.version.id());
    let mut names: Vec<_> = before.plugins.keys().chain(after.plugins.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let versions = names.into_iter().map(|name| (name.clone(), version(before, name), version(after, name)));
    versions.filter(|(_, from, to)| from != to).collect()
}
