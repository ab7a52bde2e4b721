//! The gateway: what a configuration means, and the workers that do it.
//!
//! ```text
//! run       load_config > Snapshot::build > bind > Worker per core > drain
//! request   listener > gateway::handle > route > pipeline > upstream > pipeline > client
//! reload    watch > load_config > Snapshot::build(previous) > bind > every worker
//! remote    `limen status`, `limen reload` and `limen key`: asking the process that runs, by its admin listener
//! ```

mod admin;
pub mod author;
mod body;
mod client;
mod component;
mod edition;
mod fetch;
mod forward;
mod gateway;
mod grpc;
mod head;
mod issuers;
mod listener;
mod observe;
mod onward;
mod pipeline;
mod progress;
mod refusal;
mod reload;
pub mod remote;
mod roots;
mod route;
pub mod run;
mod screen;
mod settings;
mod snapshot;
mod systemd;
mod takeover;
mod thread;
mod ticks;
mod upgrade;
mod upstream;
mod vault;
mod worker;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use limen_config::{Config, Errors, Natives};
use limen_policy::native::{Documents, NATIVE};
use limen_store::StateFile;
use limen_wasm::Registry;

pub use route::Question;
use snapshot::Snapshot;

/// What `benches/` measures.
#[doc(hidden)]
pub mod bench {
    pub use crate::route::{Ask, Found, RouteTable};
}

/// The configuration of a file: the only door for start, reload and `limen check`.
pub fn load_config(file: &Path) -> Result<Config, Errors> {
    let natives: Vec<_> = NATIVE.iter().map(|native| native.name).collect();
    Config::load(file, &Natives(&natives))
}

/// Why the gateway could not do what the command line asked for.
#[derive(Debug)]
pub enum StartError {
    /// Mistakes in the configuration, all of them.
    Config(Errors),
    /// This machine does not let it.
    Machine(String),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::Config(errors) => errors.fmt(f),
            StartError::Machine(what) => write!(f, "error: {what}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Does all that `run` does with a configuration, but for binding and serving. Answers with a line
/// for people.
pub fn check(file: &Path) -> Result<String, StartError> {
    let started = Instant::now();
    let config = load_config(file).map_err(StartError::Config)?;
    let access = config.log.access.as_ref().map(|access| &access.output);
    let logs = access.into_iter().chain(&config.log.audit).filter_map(|output| output.file());
    let logs_to_be: Vec<_> = logs.filter(|file| !file.exists()).collect();
    let built = build(&config, Documents::default(), 1, &StateFile::tried());
    for file in logs_to_be {
        // To try whether it can be written has made it, for whoever checks and not for the gateway's user.
        let _ = std::fs::remove_file(file);
    }
    let (_, snapshot) = built?;
    let left_out =
        snapshot.left_out.iter().map(|it| format!("left out, {}: {}\n", it.file.display(), it.because));
    Ok(format!(
        "{}{}: good. {}, {}, {} ({:.1} s)",
        left_out.collect::<String>(),
        file.display(),
        count(snapshot.routes.len(), "route"),
        count(snapshot.upstreams.len(), "upstream"),
        count(snapshot.plugin_count(), "plugin"),
        started.elapsed().as_secs_f64(),
    ))
}

/// Says which route a request would take, in lines for people.
pub fn explain(file: &Path, question: Question) -> Result<String, StartError> {
    let config = load_config(file).map_err(StartError::Config)?;
    route::explain(&config, question).map_err(StartError::Machine)
}

/// The first snapshot of a configuration.
fn build(
    config: &Config,
    documents: Documents,
    workers: usize,
    state: &Arc<StateFile>,
) -> Result<(Registry, Snapshot), StartError> {
    let registry = Registry::new(workers, config.gateway.code_cache.clone());
    let (snapshot, _) = Snapshot::first(config, documents, &registry, state).map_err(StartError::Config)?;
    Ok((registry, snapshot))
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
