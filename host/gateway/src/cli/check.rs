use std::path::PathBuf;
use std::process::ExitCode;

use limen_gateway::{Checked, StartError};

/// Say whether a configuration is good, and what is wrong with it
///
/// Does all that `run` does but for listening: reads every file, compiles every component, and gives
/// it its settings. Prints each mistake that it finds with its line and a hint, and ends with status 1 if there is
/// one: for editors and CI. With --json each mistake has its file, line, column, key, message, what was
/// expected, and hint.
#[derive(clap::Args)]
pub struct Check {
    /// The configuration
    #[arg(default_value = "limen.toml")]
    file: PathBuf,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl Check {
    pub fn main(self) -> Result<ExitCode, StartError> {
        super::show(limen_gateway::check(&self.file), self.json, Checked::json)
    }
}
