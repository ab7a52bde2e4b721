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

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use limen_config::{Config, ConfigError, Errors, LeftOut, Natives};
use limen_policy::native::{Documents, NATIVE};
use limen_store::StateFile;
use limen_wasm::Registry;
use serde_json::{Value, json};

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

impl StartError {
    /// For machines.
    pub fn json(&self) -> Value {
        let errors = match self {
            StartError::Config(errors) => errors.iter().map(mistake).collect(),
            StartError::Machine(what) => vec![json!({ "message": what })],
        };
        json!({ "ok": false, "errors": errors })
    }
}

/// A mistake in a configuration, for machines.
fn mistake(error: &ConfigError) -> Value {
    json!({
        "file": error.place.file.display().to_string(),
        "line": error.place.line,
        "column": error.place.column,
        "key": error.place.key,
        "message": error.message,
        "expected": error.expected,
        "hint": error.hint,
    })
}

/// A good configuration, in numbers.
pub struct Checked {
    file: PathBuf,
    routes: usize,
    upstreams: usize,
    plugins: usize,
    left_out: Vec<LeftOut>,
    took: Duration,
}

impl Checked {
    /// For machines.
    pub fn json(&self) -> Value {
        let left_out = self.left_out.iter();
        let left_out =
            left_out.map(|it| json!({ "file": it.file.display().to_string(), "because": it.because }));
        json!({
            "ok": true,
            "file": self.file.display().to_string(),
            "routes": self.routes,
            "upstreams": self.upstreams,
            "plugins": self.plugins,
            "left_out": left_out.collect::<Value>(),
            "took_ms": self.took.as_millis() as u64,
        })
    }
}

/// For people.
impl std::fmt::Display for Checked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for it in &self.left_out {
            writeln!(f, "left out, {}: {}", it.file.display(), it.because)?;
        }
        write!(
            f,
            "{}: good. {}, {}, {} ({:.1} s)",
            self.file.display(),
            count(self.routes, "route"),
            count(self.upstreams, "upstream"),
            count(self.plugins, "plugin"),
            self.took.as_secs_f64(),
        )
    }
}

/// Does all that `run` does with a configuration, but for binding and serving.
pub fn check(file: &Path) -> Result<Checked, StartError> {
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
    Ok(Checked {
        file: file.to_owned(),
        routes: snapshot.routes.len(),
        upstreams: snapshot.upstreams.len(),
        plugins: snapshot.plugin_count(),
        left_out: snapshot.left_out.clone(),
        took: started.elapsed(),
    })
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
