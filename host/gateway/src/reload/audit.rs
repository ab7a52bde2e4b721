//! What the audit log reads of a reload.

use std::collections::{BTreeMap, BTreeSet};

use limen_config::Errors;
use serde_json::json;

use crate::edition::Edition;
use crate::observe::audit::Who;
use crate::snapshot::{KeptBack, Snapshot};

/// Notes what became of it: a configuration in force, or refused; each plugin of which there is another
/// version now; and each quota that is another one.
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
            for (name, from, to) in changed(&plugins(&before.snapshot), &plugins(&after.snapshot)) {
                audit.note(who, "plugin", json!({ "name": name, "from": from, "to": to }));
            }
            for (name, from, to) in changed(&quotas(&before.snapshot), &quotas(&after.snapshot)) {
                audit.note(who, "quota", json!({ "name": name, "from": from, "to": to }));
            }
        }
    }
}

fn plugins(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let plugins = snapshot.plugins.iter();
    plugins.map(|(name, plugin)| (name.clone(), plugin.version.id().to_string())).collect()
}

fn quotas(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let quotas = snapshot.routes.iter().flat_map(|route| route.pipeline.quotas());
    quotas.map(|quota| (quota.name().to_owned(), quota.terms())).collect()
}

/// Name, and what it was and is: none where it was not there.
type Change<'a> = (&'a String, Option<&'a String>, Option<&'a String>);

fn changed<'a>(before: &'a BTreeMap<String, String>, after: &'a BTreeMap<String, String>) -> Vec<Change<'a>> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let all = names.into_iter().map(|name| (name, before.get(name), after.get(name)));
    all.filter(|(_, from, to)| from != to).collect()
}
