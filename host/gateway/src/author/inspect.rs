//! `limen policy inspect`: what a component is and what it may do, and what another one does differently.

use std::fmt;
use std::path::Path;

use limen_config::Component;
use limen_wasm::Manifest;
use serde_json::{Value, json};

use super::{built, look_at, schema};
use crate::StartError;

/// A component, and what is different from an older one.
pub struct Inspected {
    /// Where it is.
    pub component: Component,
    pub manifest: Manifest,
    pub differences: Option<Vec<Difference>>,
}

/// What one of two components has and the other has not.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    /// Such as `grants`.
    pub what: &'static str,
    pub removed: Vec<String>,
    pub added: Vec<String>,
}

/// `file` and `older` may be references to a layout or a registry, and `config` says how to speak to that; or folders of
/// policies, which are built.
pub fn inspect(file: &str, older: Option<&str>, config: Option<&Path>) -> Result<Inspected, StartError> {
    let (component, manifest) = look_at(&built(file)?, config)?;
    let differences = match older {
        Some(older) => Some(differences(&look_at(&built(older)?, config)?.1, &manifest)),
        None => None,
    };
    Ok(Inspected { component, manifest, differences })
}

impl Inspected {
    /// For machines.
    pub fn json(&self) -> Value {
        let mut json = json!(self.manifest);
        if let (Some(fields), Some(differences)) = (json.as_object_mut(), &self.differences) {
            let told = differences.iter().map(|Difference { what, removed, added }| {
                ((*what).to_owned(), json!({ "removed": removed, "added": added }))
            });
            fields.insert("differences".to_owned(), Value::Object(told.collect()));
        }
        if let Some(fields) = json.as_object_mut() {
            fields.insert("component".to_owned(), self.component.to_string().into());
        }
        json
    }
}

/// For people.
impl fmt::Display for Inspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest { name, version, description, sha256, no_image, .. } = &self.manifest;
        writeln!(f, "{} {description}", [name.as_str(), version].join(" ").trim_end())?;
        if let Some(differences) = &self.differences {
            if differences.is_empty() {
                return write!(f, "no difference");
            }
            for Difference { what, removed, added } in differences {
                let removed = removed.iter().map(|it| format!("- {it}"));
                list(f, what, removed.chain(added.iter().map(|it| format!("+ {it}"))))?;
            }
            return Ok(());
        }
        if self.component.file().is_none() {
            row(f, "component", &self.component.to_string())?;
        }
        row(f, "sha256", sha256)?;
        let image = match no_image {
            None => "start from an image of the configured memory".to_owned(),
            Some(because) => format!("`configure` runs in each: {because}"),
        };
        row(f, "isolates", &image)?;
        for (what, items) in facts(&self.manifest) {
            list(f, what, items.into_iter())?;
        }
        Ok(())
    }
}

/// All that a review compares.
fn facts(manifest: &Manifest) -> [(&'static str, Vec<String>); 7] {
    let owned = |items: &[&'static str]| items.iter().map(|&item| item.to_owned()).collect();
    let wasi = manifest.wasi.iter().map(|it| format!("{}: {}", it.interface, it.behind)).collect();
    let settings = manifest.settings.as_ref().map(schema::lines).unwrap_or_default();
    [
        ("size", vec![format!("{:.1} KiB", manifest.size as f64 / 1024.0)]),
        ("contract", vec![manifest.contract.clone()]),
        ("phases", owned(&manifest.phases)),
        ("imports", manifest.imports.clone()),
        ("wasi", wasi),
        ("grants", owned(&manifest.grants)),
        ("settings", settings),
    ]
}

fn differences(old: &Manifest, new: &Manifest) -> Vec<Difference> {
    let named = |manifest: &Manifest| ("version", vec![format!("{} {}", manifest.name, manifest.version)]);
    let bytes = |manifest: &Manifest| ("sha256", vec![manifest.sha256.clone()]);
    let all = |manifest: &Manifest| [named(manifest), bytes(manifest)].into_iter().chain(facts(manifest));
    let both = all(old).zip(all(new));
    both.filter_map(|((what, old), (_, new))| {
        let only = |one: &[String], other: &[String]| -> Vec<String> {
            one.iter().filter(|item| !other.contains(item)).cloned().collect()
        };
        let (removed, added) = (only(&old, &new), only(&new, &old));
        (!removed.is_empty() || !added.is_empty()).then_some(Difference { what, removed, added })
    })
    .collect()
}

fn row(f: &mut fmt::Formatter<'_>, what: &str, value: &str) -> fmt::Result {
    writeln!(f, "  {what:<9} {value}")
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, items: impl Iterator<Item = String>) -> fmt::Result {
    let mut what = what;
    for item in items {
        row(f, what, &item)?;
        what = "";
    }
    if what.is_empty() { Ok(()) } else { row(f, what, "none") }
}
