use std::path::PathBuf;
use std::process::ExitCode;

use limen_gateway::{StartError, author};

use crate::cli::show;

/// Say whether a gateway with a configuration would take a component
///
/// Loads the configuration with the component in the place of the plugin's own: what the gateway would
/// do if the file were replaced now. Its grants, limits, settings, `sha256` and signature have to be
/// right for it. Ends with status 1 if they aren't.
#[derive(clap::Args)]
pub struct Check {
    /// The component: a file, "oci-layout:..." or "oci://..."; or the folder of a policy, which is built
    #[arg(default_value = ".")]
    file: String,
    /// The configuration
    #[arg(long, default_value = "limen.toml")]
    config: PathBuf,
    /// The name of the plugin; otherwise the one whose file has the same name, or the only one
    #[arg(long)]
    plugin: Option<String>,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl Check {
    pub fn main(self) -> Result<ExitCode, StartError> {
        show(author::check(&self.file, &self.config, self.plugin.as_deref()), self.json, author::Taken::json)
    }
}
