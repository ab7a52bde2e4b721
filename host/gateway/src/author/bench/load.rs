//! What it takes until a component can serve.

use std::path::Path;
use std::time::Duration;

use limen_config::CodeCache;
use limen_wasm::{Registry, process_time};

use crate::StartError;

/// Computing time, of all cores together: nothing was compiled before.
#[derive(Clone, Debug)]
pub struct Load {
    pub compile: Duration,
    /// In bytes, as machine code with what belongs to it.
    pub code: usize,
}

pub fn measure(component: &Path) -> Result<Load, StartError> {
    let wrong = |what: String| StartError::Machine(format!("{}: {what}", component.display()));
    let bytes = std::fs::read(component).map_err(|error| wrong(format!("could not read it: {error}")))?;
    let registry = Registry::new(1, CodeCache { folder: None, size: 0 });
    let began = process_time();
    let plugin = registry.plugin(bytes).map_err(|error| wrong(error.to_string()))?;
    Ok(Load { compile: process_time().saturating_sub(began), code: plugin.code_size() })
}
