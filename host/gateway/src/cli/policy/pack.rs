use std::path::PathBuf;

use limen_gateway::{StartError, author};

use crate::cli::say;

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
}

impl Pack {
    pub fn main(self) -> Result<(), StartError> {
        let packed = author::pack(&self.file, &self.layout, self.tag.as_deref())?;
        let (layout, tag, digest) = (self.layout.display(), &packed.tag, packed.digest);
        let signed = if packed.is_signed { "signed" } else { "not signed" };
        say(&format!(
            "oci-layout:{layout}:{tag}: {} {}, {signed}",
            packed.manifest.name, packed.manifest.version
        ));
        say(&format!("push: skopeo copy oci:{layout}:{tag} docker://REGISTRY/REPOSITORY:{tag}"));
        say(&format!("use:  component = \"oci://REGISTRY/REPOSITORY:{tag}@{digest}\""));
        Ok(())
    }
}
