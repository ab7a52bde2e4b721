use std::path::PathBuf;
use std::process::ExitCode;

use limen_gateway::{StartError, author};

use crate::cli::{say, show};

/// Build the policy of a folder, and say what it is
///
/// Runs `cargo build --release --target wasm32-wasip2`, then what `limen policy inspect` does.
#[derive(clap::Args)]
pub struct Build {
    /// The folder with its Cargo.toml
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl Build {
    pub fn main(self) -> Result<ExitCode, StartError> {
        let built = author::build(&self.folder).map(|component| component.display().to_string());
        let inspected = built.and_then(|component| author::inspect(&component, None, None));
        let component =
            inspected.as_ref().map(|inspected| inspected.component.to_string()).unwrap_or_default();
        let done = show(inspected, self.json, author::Inspected::json)?;
        if !self.json {
            say(&component);
        }
        Ok(done)
    }
}
