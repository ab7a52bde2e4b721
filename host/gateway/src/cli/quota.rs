use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use limen_gateway::StartError;
use limen_gateway::remote::quotas;

/// What is used of quotas, in the running gateway
///
/// Asks its admin listener, which `[admin]` of the configuration names. Routes have quotas by the policy `quota`.
///
/// Exit status: 0 it is done, 1 it is not, or the gateway could not be asked.
#[derive(Subcommand)]
pub enum Quota {
    /// Show what is used of them in the window that they count in
    ///
    /// Without --key it is what this gateway has counted, of 1,000 keys of each quota at most; with it, what all
    /// gateways have that share a store.
    Show(Show),
    /// Let a key begin anew: nothing of the quota is used any more
    Reset(Reset),
}

#[derive(Args)]
pub struct Show {
    /// The configuration
    #[arg(default_value = "limen.toml")]
    file: PathBuf,
    /// Only of the quota with this name: that of its [policy], or ROUTE/quota
    #[arg(long, value_name = "NAME")]
    quota: Option<String>,
    /// Only of this key: a consumer's name, or what else the quota counts by, as it is shown
    #[arg(long)]
    key: Option<String>,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
pub struct Reset {
    /// The configuration
    #[arg(default_value = "limen.toml")]
    file: PathBuf,
    /// Of the quota with this name: that of its [policy], or ROUTE/quota
    #[arg(long, value_name = "NAME")]
    quota: String,
    /// Whose: a consumer's name, or what else the quota counts by, as `limen quota show` shows it
    #[arg(long)]
    key: String,
    #[command(flatten)]
    at: At,
}

#[derive(Args)]
struct At {
    /// Ask there, and not where the configuration says
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// What it answers, as JSON
    #[arg(long)]
    json: bool,
}

impl Quota {
    pub fn main(self) -> Result<ExitCode, StartError> {
        let report = match self {
            Quota::Show(Show { file, quota, key, at }) => {
                let which = quotas::Which { quota: quota.as_deref(), key: key.as_deref() };
                quotas::show(&file, at.admin, &which, at.json)
            }
            Quota::Reset(Reset { file, quota, key, at }) => {
                let which = quotas::Which { quota: Some(&quota), key: Some(&key) };
                quotas::reset(&file, at.admin, &which, at.json)
            }
        };
        report.map(super::tell)
    }
}
