use std::path::PathBuf;

use limen_gateway::StartError;

/// Say whether a configuration is good, and what is wrong with it
///
/// Does all that `run` does but for listening: reads every file, compiles every component, and gives
/// it its settings. Prints every mistake with its line and a hint, and ends with status 1 if there is
/// one: for editors and CI.
#[derive(clap::Args)]
pub struct Check {
    /// The configuration
    #[arg(default_value = "limen.toml")]
    file: PathBuf,
}

impl Check {
    pub fn main(self) -> Result<(), StartError> {
        super::say(&limen_gateway::check(&self.file)?);
        Ok(())
    }
}
