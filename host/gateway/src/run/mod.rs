//! `limen run`: from a file to a gateway that serves, reloads and drains.

mod signals;

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::available_parallelism;

use crate::edition::{Edition, Editions, Stage};
use crate::listener::socket;
use crate::observe::metrics::Metrics;
use crate::reload::{self, Reloader};
use crate::thread::{log_panics, spawn};
use crate::{StartError, build, observe, worker};
use signals::Signals;

/// Serves until it is told to stop.
pub fn run(file: &Path) -> Result<(), StartError> {
    let (config, seen) = reload::load(file).map_err(StartError::Config)?;
    observe::log::start(&config.log);
    log_panics();
    let workers = config.gateway.workers.unwrap_or_else(|| available_parallelism().map_or(1, Into::into));
    let (registry, snapshot) = build(&config, workers)?;
    snapshot.prepare();
    raise_open_files();
    let sockets =
        socket::open(&config.listeners, workers, &[], &mut Vec::new()).map_err(StartError::Config)?;
    reload::announce(&config, &sockets, &[]);

    let (config, snapshot) = (Arc::new(config), Arc::new(snapshot));
    let first = Edition { config, snapshot, sockets, stage: Stage::Serving };
    let editions = Editions::new(first.clone());
    let (reloader, ask) = Reloader::new(seen, registry, editions.clone(), workers);
    let signals =
        Signals::catch().map_err(|error| StartError::Machine(format!("can't catch signals: {error}")))?;
    let following = editions.clone();
    spawn("limen-signals", move || signals.follow(&following, &ask))?;

    let metrics = Arc::<Metrics>::default();
    let (ready, readies) = mpsc::channel();
    let (ended, ends) = mpsc::channel();
    for number in 0..workers {
        let (metrics, editions, ready) = (metrics.clone(), editions.subscribe(), ready.clone());
        let start = worker::Start { number, metrics, editions, ready };
        let ended = ended.clone();
        // We are gone only at the end of the process.
        spawn(&format!("limen-worker-{number}"), move || ended.send(worker::run(start)))?;
    }
    drop((ready, ended));
    // Fewer where one could not start; that it did not is what it ends with.
    if readies.iter().count() == workers {
        spawn("limen-reload", move || reloader.run())?;
        let (routes, plugins) = (first.config.routes.len(), first.snapshot.versions());
        tracing::info!(workers, routes, plugins, "limen {} is ready", env!("CARGO_PKG_VERSION"));
        say("ready");
    }
    drop(first);
    for end in ends {
        end.map_err(|error| StartError::Machine(format!("a worker can't go on: {error}")))?;
    }
    tracing::info!("drained");
    Ok(())
}

/// Every connection is an open file, and the usual limit of 1024 is there for programs that use
/// `select`. What the system allows is asked for.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!("the limit of open files stays at {}: {error}", current.unwrap_or(u64::MAX));
    }
}

/// A line for whoever started us; that they don't listen is no reason to stop.
pub fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
