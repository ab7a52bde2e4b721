use std::path::PathBuf;

use limen_gateway::StartError;
use limen_gateway::author::{self, Bench as Measurement};

use crate::cli::say;

/// Measure what a policy costs
///
/// Sends the request of a case (the first step of the first one of the policy's tests/*.toml) through a
/// gateway in this process, in rounds that take turns: without the policy, with a fresh isolate for each
/// exchange, and with reused ones. What the policy adds is the difference, as computing time: what a request
/// in a gateway on the same machine costs more. Its hooks are timed in rounds of their own.
///
/// There are two such figures. One after the other, requests are those of a gateway with little to do: each finds the
/// processor's caches as the one before left them, and is waited for alone. It is the one to compare two versions of a
/// policy by. With 64 under way at a time they are those of a gateway under load: others come between a request's hooks,
/// and the worker does a part of many at each turn. Neither is always the larger one: memory that a policy needs
/// counts for more under load, and being waited for alone for less.
///
/// Tells also what loading it takes, the size of its code, the memory of its isolates, how often the policy calls
/// the gateway, and how many bytes cross between them (texts, lists and pieces of bodies; numbers are not counted).
/// Medians, with the middle half of all measurements in brackets; warns when the machine is busy. (A consumer that
/// the case names is not there.)
#[derive(clap::Args)]
pub struct Bench {
    /// A component, or the folder of a policy, which is built
    #[arg(default_value = ".")]
    policy: PathBuf,
    /// The file of cases; otherwise those of the policy's folder
    #[arg(long, value_name = "FILE")]
    case: Option<PathBuf>,
    /// The first case whose name contains this
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// How many rounds of 50 requests each way
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rounds: u32,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl Bench {
    pub fn main(self) -> Result<(), StartError> {
        let Bench { policy, case, name, rounds, json } = self;
        let measured = author::bench(&Measurement { policy, cases: case, name, rounds: rounds as usize })?;
        match json {
            true => say(&format!("{:#}", measured.json())),
            false => say(&measured.to_string()),
        }
        Ok(())
    }
}
