//! What authors of policies do at a terminal: begin one, build it, test it, look into it, try it
//! on a configuration.

mod build;
mod cases;
mod check;
mod inspect;
mod scaffold;
mod schema;
mod stage;

pub use build::build;
pub use cases::{Tested, Tests, test};
pub use check::check;
pub use inspect::{Difference, Inspected, inspect};
pub use scaffold::{Template, scaffold};

use std::path::Path;

use limen_wasm::{LoadError, Manifest, Registry};

use crate::StartError;

/// What a component is.
fn manifest(file: &Path) -> Result<Manifest, StartError> {
    let wrong = |what: String| StartError::Machine(format!("{}: {what}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| wrong(format!("could not read it: {error}")))?;
    let registry = Registry::new(1, limen_config::CodeCache::default());
    let plugin = registry.plugin(bytes).map_err(|error: LoadError| wrong(error.to_string()))?;
    Ok(plugin.manifest())
}
