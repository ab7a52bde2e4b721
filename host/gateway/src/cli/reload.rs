use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use limen_gateway::{StartError, remote};

/// Make the running gateway load its configuration anew, and say what became of it
///
/// Asks its admin listener, which `[admin]` of the configuration names. Changed files are noticed without
/// this; it waits until they are in force, and tells the mistakes. What takes long meanwhile, what is downloaded and
/// compiled for instance, it tells on standard error.
///
/// Exit status: 0 all of the new configuration is live; 1 it was refused, a plugin stays on its last good version
/// because the new one can't be used, or the gateway could not be asked.
#[derive(clap::Args)]
pub struct Reload {
    /// The configuration
    #[arg(default_value = "limen.toml")]
    file: PathBuf,
    /// Ask there, and not where the configuration says
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// What it answers, as JSON
    #[arg(long)]
    json: bool,
}

impl Reload {
    pub fn main(self) -> Result<ExitCode, StartError> {
        remote::reload(&self.file, self.admin, self.json).map(super::tell)
    }
}
