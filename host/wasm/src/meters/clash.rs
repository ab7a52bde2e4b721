//! Metrics of one name that are declared in different ways: shown together they would mislead.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use super::{Declaration, Shared};

/// Tells of the plugins in use that have a metric of this name and mean another one by it.
pub(super) fn warn(plugin: &str, declaration: &Declaration, all: &HashMap<String, Arc<Shared>>) {
    // Whoever else holds on to them is a version in use.
    let others = all.iter().filter(|(name, shared)| *name != plugin && Arc::strong_count(shared) > 1);
    for (other, shared) in others {
        let families = shared.families.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = families.iter().map(|family| &family.declaration);
        let name = declaration.shown();
        let Some(theirs) = theirs.into_iter().find(|theirs| theirs.shown() == name) else { continue };
        let what = differences(declaration, theirs);
        if !what.is_empty() {
            tracing::warn!(
                "plugins `{other}` and `{plugin}` declare the metric `{name}` in different ways: {what}; \
                 rename one of them"
            );
        }
    }
}

/// Tells of a version that means another metric by a name than the one before.
pub(super) fn warn_of_version(plugin: &str, declaration: &Declaration, before: &Declaration) {
    tracing::warn!(
        "plugin `{plugin}` declares the metric `{}` in another way than its version before: {}; \
         it begins anew",
        declaration.shown(),
        differences(declaration, before)
    );
}

/// In what two declarations of one name differ.
fn differences(one: &Declaration, other: &Declaration) -> String {
    let aspects = [
        ("kind", one.kind != other.kind),
        ("unit", one.unit != other.unit),
        ("buckets", one.kind == other.kind && one.buckets != other.buckets),
        ("labels", one.labels != other.labels),
        ("help", one.help != other.help),
    ];
    let differ: Vec<_> = aspects.iter().filter(|(_, differs)| *differs).map(|(aspect, _)| *aspect).collect();
    differ.join(", ")
}
