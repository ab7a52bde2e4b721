use std::path::PathBuf;
use std::process::ExitCode;

use limen_gateway::{StartError, author};

use crate::cli::show;

/// Say what a component is: phases, imports, the grants it needs, settings
///
/// What it doesn't import it can't do, so this is all of it: the interfaces of the contract, and those of
/// WASI with what is behind them here. With --diff only what is different from an older one, for reviews.
#[derive(clap::Args)]
pub struct Inspect {
    /// The component: a file, "oci-layout:..." or "oci://..."; of a tag it says the digest. Or the folder of a policy,
    /// which is built
    #[arg(default_value = ".")]
    file: String,
    /// Another one, to compare it with
    #[arg(long, value_name = "OLD")]
    diff: Option<String>,
    /// The configuration that says how to speak to registries
    #[arg(long)]
    config: Option<PathBuf>,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub fn main(self) -> Result<ExitCode, StartError> {
        let inspected = author::inspect(&self.file, self.diff.as_deref(), self.config.as_deref());
        show(inspected, self.json, author::Inspected::json)
    }
}
