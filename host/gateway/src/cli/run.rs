use std::path::PathBuf;

use limen_gateway::StartError;

/// Serve a configuration until stopped
///
/// Prints the addresses it listens on, then `ready`, on standard output; the log goes to standard
/// error. Reloads by itself when the configuration, a component or a certificate changes, and on
/// SIGHUP. SIGTERM and SIGINT stop taking connections, let requests finish, and end; a second one
/// ends at once.
#[derive(clap::Args)]
pub struct Run {
    /// The configuration
    #[arg(default_value = "limen.toml")]
    file: PathBuf,
}

impl Run {
    pub fn main(self) -> Result<(), StartError> {
        limen_gateway::run::run(&self.file)
    }
}
