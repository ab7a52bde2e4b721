use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use limen_gateway::{StartError, remote};

/// Say how the running gateway is
///
/// Asks its admin listener, which `[admin]` of the configuration names: which configuration is live since
/// when, listeners and their connections, endpoints and how they are, versions of plugins.
///
/// Exit status: 0 it is ready, 1 it is not, or could not be asked.
#[derive(clap::Args)]
pub struct Status {
    /// The configuration
    #[arg(default_value = "limen.toml")]
    file: PathBuf,
    /// Ask there, and not where the configuration says
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// All that it says, as JSON
    #[arg(long)]
    json: bool,
}

impl Status {
    pub fn main(self) -> Result<ExitCode, StartError> {
        remote::status(&self.file, self.admin, self.json).map(super::tell)
    }
}
