use std::path::PathBuf;
use std::process::ExitCode;

use limen_gateway::{StartError, author};

use crate::cli::show;

/// Put a component into an OCI image layout, to be pushed to a registry
///
/// With its signature, if one lies beside it (FILE.minisig). What the layout has by other tags stays. The gateway
/// takes it from there (`oci-layout:FOLDER:TAG`), or from the registry that it is pushed to.
#[derive(clap::Args)]
pub struct Pack {
    /// The component, or the folder of a policy, which is built
    file: PathBuf,
    /// The folder of the layout; it is made if it is not there
    layout: PathBuf,
    /// What it is called there; otherwise the version that it gives itself
    #[arg(long)]
    tag: Option<String>,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl Pack {
    pub fn main(self) -> Result<ExitCode, StartError> {
        let packed = author::pack(&self.file, &self.layout, self.tag.as_deref());
        show(packed, self.json, author::Packed::json)
    }
}
