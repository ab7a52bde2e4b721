use std::path::PathBuf;

use limen_gateway::StartError;
use limen_gateway::author::{Template, scaffold};

use crate::cli::say;

/// Begin a policy in a new folder
///
/// It builds, has tests and cases, and comes with a configuration to try it on. Templates: headers (sets and
/// hides headers), auth (bearer tokens), body (looks into JSON),
/// stream (watches a body as it passes).
#[derive(clap::Args)]
pub struct New {
    /// The folder; its last part is the policy's name
    folder: PathBuf,
    /// What it begins as: headers, auth, body or stream
    #[arg(long, default_value = "headers", value_parser = template)]
    template: Template,
    /// The folder of the SDK; otherwise that in Limen's sources, if the new folder, the current one or this program is in them
    #[arg(long)]
    sdk: Option<PathBuf>,
}

impl New {
    pub fn main(self) -> Result<(), StartError> {
        let New { folder, template, sdk } = self;
        scaffold(&folder, template, sdk.as_deref())?;
        let folder = folder.display();
        say(&format!("{folder}: a policy. {}", template.about));
        say(&format!("next: cd {folder} && cargo test && limen policy test"));
        Ok(())
    }
}

fn template(name: &str) -> Result<Template, String> {
    Template::find(name).ok_or_else(|| {
        let names: Vec<_> = Template::ALL.iter().map(|template| template.name).collect();
        format!("the templates are {}", names.join(", "))
    })
}
