use std::path::PathBuf;

use limen_gateway::{StartError, author};

use crate::cli::say;

/// Build the policy of a folder, and say what it is
///
/// Runs `cargo build --release --target wasm32-wasip2`, then what `limen policy inspect` does.
#[derive(clap::Args)]
pub struct Build {
    /// The folder with its Cargo.toml
    #[arg(default_value = ".")]
    folder: PathBuf,
}

impl Build {
    pub fn main(self) -> Result<(), StartError> {
        let component = author::build(&self.folder)?.display().to_string();
        say(author::inspect(&component, None, None)?.to_string().trim_end());
        say(&component);
        Ok(())
    }
}
