//! `limen run`: from a file to a gateway that serves, reloads and drains.

mod signals;
mod successor;
mod watchdog;

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::available_parallelism;

use limen_config::{Config, Errors};
use limen_store::StateFile;
use serde_json::json;

use crate::admin::Admin;
use crate::edition::{Edition, Editions, Stage};
use crate::listener::socket::{self, Inherited};
use crate::observe::audit::Who;
use crate::observe::metrics::Metrics;
use crate::reload::{self, Reloader};
use crate::takeover::{self, Heirs, Predecessor};
use crate::thread::{log_panics, spawn};
use crate::{StartError, build, observe, systemd, ticks, worker};
use signals::Signals;
use successor::Successor;
pub use watchdog::Pulse;
use watchdog::Watchdog;

/// Serves until it is told to stop, or another process takes over.
pub fn run(file: &Path) -> Result<(), StartError> {
    let (config, documents, seen) = reload::load(file).map_err(StartError::Config)?;
    let _log = observe::log::start(&config.log);
    log_panics();
    let workers = config.gateway.workers.unwrap_or_else(|| available_parallelism().map_or(1, Into::into));
    let Before { predecessor, mut inherited, heirs } = Before::look(&config)?;
    let metrics = Arc::<Metrics>::default();
    let admin = Admin::new(metrics.clone());
    admin.start()?;
    let admin_place = admin
        .open(config.admin.as_ref(), Some(&mut inherited))
        .map_err(|error| StartError::Config(Errors::from_iter([error])))?;
    if predecessor.is_none() {
        // It says that we are starting. Where there is a predecessor, that one answers.
        admin.listen(admin_place.clone());
    }

    let (registry, snapshot) = build(&config, documents, workers, &StateFile::serving())?;
    snapshot.prepare();
    snapshot.tell_left_out(None);
    raise_open_files();
    let sockets =
        socket::open(&config.listeners, workers, &[], &mut inherited).map_err(StartError::Config)?;
    for Inherited { name, .. } in inherited.drain(..) {
        tracing::warn!("no listener wants the socket `{name}` that was passed to us: closing it");
    }
    reload::announce(&config, &sockets, &[]);

    let (config, snapshot) = (Arc::new(config), Arc::new(snapshot));
    let first = Edition { config, snapshot, sockets, stage: Stage::Serving };
    let editions = Editions::new(first.clone());
    let (reloader, ask) = Reloader::new(seen, registry, editions.clone(), workers, admin.clone());
    let signals =
        Signals::catch().map_err(|error| StartError::Machine(format!("can't catch signals: {error}")))?;
    let successor = Successor::new(first.config.gateway.takeover.is_some());
    let (following, asking) = (editions.clone(), ask.clone());
    spawn("limen-signals", move || signals.follow(&following, &asking, &successor))?;

    let mut watchdog = systemd::watchdog().map(Watchdog::new);
    let (ready, readies) = mpsc::channel();
    let (ended, ends) = mpsc::channel();
    for number in 0..workers {
        let pulse = watchdog.as_mut().map(Watchdog::pulse);
        let (metrics, editions, ready) = (metrics.clone(), editions.subscribe(), ready.clone());
        let start = worker::Start { number, metrics, editions, ready, pulse };
        let ended = ended.clone();
        // We are gone only at the end of the process.
        spawn(&format!("limen-worker-{number}"), move || ended.send(worker::run(start)))?;
    }
    drop((ready, ended));
    let ticking = editions.subscribe();
    spawn("limen-ticks", move || ticks::run(ticking, workers))?;
    // Fewer where one could not start; that it did not is what it ends with.
    if readies.iter().count() == workers {
        let heirs = heirs.map(|heirs| Arc::new(heirs.take_place()));
        if let Some(predecessor) = predecessor {
            release(predecessor);
        }
        admin.serves(editions.clone(), ask);
        admin.listen(admin_place);
        spawn("limen-reload", move || reloader.run())?;
        if let Some(watchdog) = watchdog {
            spawn("limen-watchdog", move || watchdog.watch())?;
        }
        let (routes, plugins) = (first.config.routes.len(), first.snapshot.versions());
        tracing::info!(workers, routes, plugins, "limen {} is ready", env!("CARGO_PKG_VERSION"));
        if let Some(audit) = &first.snapshot.audit {
            audit.note(
                &Who::Start,
                "config",
                json!({ "file": file.display().to_string(), "routes": routes }),
            );
        }
        systemd::ready(&format!("serving {routes} routes"));
        say("ready");
        if let Some(heirs) = heirs.clone() {
            let (editions, leaving) = (editions.clone(), admin.clone());
            let taken_over = move || leaving.listen(None);
            spawn("limen-takeover", move || heirs.serve(&editions, || admin.descriptors(), taken_over))?;
        }
        let last = editions.subscribe();
        drop((first, editions));
        wait(&ends)?;
        let last = last.borrow();
        // Who took over was given it, and has the files.
        if last.stage != Stage::TakenOver {
            last.snapshot.save();
        }
        if let Some(heirs) = heirs {
            heirs.leave();
        }
    } else {
        wait(&ends)?;
    }
    tracing::info!("drained");
    Ok(())
}

/// What is there before we are: a process that serves, sockets that somebody opened.
struct Before {
    predecessor: Option<Predecessor>,
    inherited: Vec<Inherited>,
    /// Our own place for the process after us.
    heirs: Option<Heirs>,
}

impl Before {
    fn look(config: &Config) -> Result<Self, StartError> {
        let mut inherited = systemd::sockets();
        let Some(path) = &config.gateway.takeover else {
            return Ok(Before { predecessor: None, inherited, heirs: None });
        };
        let cant = |error: io::Error| {
            StartError::Machine(format!("can't use [gateway] takeover, {}: {error}", path.display()))
        };
        let heirs = Heirs::prepare(path).map_err(cant)?;
        let (predecessor, theirs) = takeover::ask(path).map_err(cant)?.unzip();
        if let Some(theirs) = theirs {
            tracing::info!("taking over from the process that serves now");
            inherited = theirs;
        }
        Ok(Before { predecessor, inherited, heirs: Some(heirs) })
    }
}

/// The process before us has nothing left to do but to drain.
fn release(predecessor: Predecessor) {
    match predecessor.release() {
        Ok(()) => tracing::info!("took over: the old process drains"),
        // We have its sockets, whatever became of it.
        Err(error) => tracing::warn!("took over, but the old process does not answer: {error}"),
    }
}

/// Until all workers have ended; none does before the gateway drains, but with an error.
fn wait(ends: &mpsc::Receiver<io::Result<()>>) -> Result<(), StartError> {
    for end in ends {
        end.map_err(|error| StartError::Machine(format!("a worker can't go on: {error}")))?;
    }
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
