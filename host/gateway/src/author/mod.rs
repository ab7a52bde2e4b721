//! What authors of policies do at a terminal: begin one, build it, test it, look into it, try it
//! on a configuration.

mod bench;
mod build;
mod cases;
mod check;
mod inspect;
mod pack;
mod scaffold;
mod schema;
mod stage;

pub use bench::{Bench, Measured, bench};
pub use build::build;
pub use cases::{Tested, Tests, test};
pub use check::{Taken, check};
pub use inspect::{Difference, Inspected, inspect};
pub use pack::{Packed, pack};
pub use scaffold::{Template, scaffold};

use std::path::Path;

use limen_config::{CodeCache, Component, Errors, Place};
use limen_policy::vault::Vault;
use limen_wasm::{LoadError, Manifest, Registry};

use crate::component::{Components, Registries};
use crate::{StartError, load_config, vault};

/// What is looked for beside or below a path that is not there would be missed instead.
fn must_be_there(path: &Path) -> Result<(), StartError> {
    match path.exists() {
        true => Ok(()),
        false => Err(StartError::Machine(format!("{} is not there", path.display()))),
    }
}

/// A component, or where that of a folder is, once it is built: what is written at a terminal is often the policy's folder.
fn built(from: &str) -> Result<String, StartError> {
    let folder = Path::new(from);
    match folder.is_dir() {
        true if folder.join("oci-layout").is_file() => {
            Err(StartError::Machine(format!("{from} is an OCI image layout: write `oci-layout:{from}:TAG`")))
        }
        true => build(folder).map(|component| component.display().to_string()),
        false => Ok(from.to_owned()),
    }
}

/// What a component is, and where exactly it comes from: a tag becomes the digest that it has now. The registries
/// of a configuration are spoken to as it says.
fn look_at(from: &str, config: Option<&Path>) -> Result<(Component, Manifest), StartError> {
    let wrong = |what: String| StartError::Machine(format!("{from}: {what}"));
    let config = config.map(load_config).transpose().map_err(StartError::Config)?;
    let (mut vault, mut kept, mut terms) = (Vault::default(), CodeCache::default(), Default::default());
    if let Some(config) = config {
        let mut errors = Vec::new();
        vault = vault::open(&config, None, &mut errors);
        if !errors.is_empty() {
            return Err(StartError::Config(Errors::from_iter(errors)));
        }
        (kept, terms) = (config.gateway.code_cache, config.registries);
    }
    let place = Place::file(from);
    let registries = Registries { terms: &terms, vault: &vault, place: &place };
    let (component, bytes) = Components::new(kept.clone())
        .look_at(&reference(from)?, registries)
        .map_err(|it| wrong(format!("could not read it: {it}")))?;
    let plugin = Registry::new(1, kept).plugin(bytes).map_err(|error: LoadError| wrong(error.to_string()))?;
    Ok((component, plugin.manifest()))
}

/// Where a component is, as it is written at a terminal.
fn reference(text: &str) -> Result<Component, StartError> {
    Component::parse(text, Path::new("")).map_err(|wrong| StartError::Machine(wrong.to_string()))
}
