use std::path::PathBuf;
use std::process::ExitCode;

use limen_gateway::StartError;
use limen_gateway::author::{self, Tests};

use crate::cli::say;

/// Play the cases of a policy against its component
///
/// Builds the policy, then does what its files of cases say, in a gateway in this process: the request path,
/// isolates, limits and grants are those of `limen run`, and upstreams answer what the case says. A file of
/// cases, tests/cases.toml for instance:
///
///   with = { gate = "north" }
///
///   [[case]]
///   name    = "the upstream reads the gate"
///   request = { target = "/orders", headers = { x-gate = "forged" } }
///   answer  = { headers = { server = "secret/1.0" }, body = "hello" }
///
///   [case.expect]
///   headers  = { server = false }
///   body     = "hello"
///   upstream = { headers = { x-gate = "north" } }
///
/// sdk/CASES.md of the repository tells every key.
///
/// Exit status: 0 all cases passed, 1 one failed, none was played, or something is wrong with a file.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Test {
    /// Files of cases, or the folder of a policy: then its tests/*.toml
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Test this component, and build nothing
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// Only cases whose names contain this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl Test {
    pub fn main(self) -> Result<ExitCode, StartError> {
        let Test { paths, component, filter, json } = self;
        let tested = author::test(&Tests { paths, component, filter })?;
        match json {
            true => say(&format!("{:#}", tested.json())),
            false => say(&tested.to_string()),
        }
        Ok(if tested.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
