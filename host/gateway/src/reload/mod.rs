//! Watch, load, build, swap; on any error keep what runs and say why.

mod again;
mod audit;
mod fingerprint;
mod record;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use limen_config::{Config, ConfigError, Errors, Place};
use limen_policy::native::Documents;
use limen_wasm::Registry;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, oneshot};

use crate::admin::Admin;
use crate::edition::Editions;
use crate::listener::socket::{self, Sockets};
use crate::observe;
use crate::observe::audit::Who;
use crate::progress::{Progress, Step};
use crate::run::say;
use crate::snapshot::{KeptBack, Snapshot};
use crate::systemd;
use again::Again;
pub use fingerprint::Fingerprint;
pub use record::{Outcome, Record};

/// Changes that come this close together are one: a compiler writes its file in pieces.
const QUIET: Duration = Duration::from_millis(50);
/// ... but what goes on changing is looked at this often all the same.
const PATIENCE: Duration = Duration::from_millis(500);
/// The files are looked at this often without any event, too: network file systems send none, and
/// nor does a folder that was removed and made again, which nobody watches yet.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why the configuration is looked at again.
pub enum Ask {
    /// Something in a watched folder changed; whether it concerns us is looked up.
    FilesChanged,
    /// The operator asked for it, and may wait for what becomes of it.
    Reload(Who, Option<Waiter>),
    /// It was: what was being loaded has come to its end.
    Loaded,
}

/// Somebody who waits.
pub struct Waiter {
    pub steps: mpsc::Sender<Step>,
    pub done: oneshot::Sender<Arc<Outcome>>,
}

/// What is asked for at one moment.
#[derive(Default)]
struct Asked {
    /// Who asks; nobody but the files, if they changed.
    by: Vec<Who>,
    waiting: Vec<Waiter>,
}

impl Asked {
    fn add(&mut self, ask: Ask) {
        if let Ask::Reload(who, waits) = ask {
            self.by.push(who);
            self.waiting.extend(waits);
        }
    }

    fn and(mut self, other: Asked) -> Asked {
        self.by.extend(other.by);
        self.waiting.extend(other.waiting);
        self
    }

    fn answer(self, outcome: &Arc<Outcome>) {
        for waiter in self.waiting {
            let _ = waiter.done.send(outcome.clone()); // who asked may have gone
        }
    }
}

/// Keeps the running edition up to date with the files it was made of.
pub struct Reloader {
    loader: Loader,
    record: Arc<Record>,
    seen: Fingerprint,
    folders: BTreeSet<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    asks: Receiver<Ask>,
    /// For whoever loads, to say that it is done.
    ask: Sender<Ask>,
    again: Again,
}

/// Makes the files the next edition.
struct Loader {
    file: PathBuf,
    registry: Registry,
    editions: Editions,
    workers: usize,
    admin: Arc<Admin>,
}

impl Reloader {
    /// Watches the files, which were `seen` before the first edition was made of them. What is sent on
    /// the returned channel asks for a reload.
    pub fn new(
        seen: Fingerprint,
        registry: Registry,
        editions: Editions,
        workers: usize,
        admin: Arc<Admin>,
    ) -> (Self, Sender<Ask>) {
        let (ask, asks) = channel();
        let changed = ask.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and we read them.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // The reloader is gone only at the end of the process.
                let _ = changed.send(Ask::FilesChanged);
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!("can't watch files, they are looked at instead: {error}"))
            .ok();
        registry.step_back();
        let file = editions.current().config.file.clone();
        let (folders, record) = (BTreeSet::new(), admin.reloads());
        let loader = Loader { file, registry, editions, workers, admin };
        let (own, again) = (ask.clone(), Again::default());
        let mut reloader = Reloader { loader, record, folders, seen, watcher, asks, ask: own, again };
        reloader.watch_folders();
        (reloader, ask)
    }

    /// Reloads whenever it is asked to or the files change, until the gateway drains.
    pub fn run(mut self) {
        // What changed while the first snapshot was being built, nobody was watching yet.
        let mut asked = Asked::default();
        while !self.loader.editions.is_draining() {
            if !asked.by.is_empty() || self.seen.is_outdated() || self.again.is_due() {
                asked = self.reload(asked);
                if !asked.by.is_empty() || self.seen.is_outdated() {
                    asked = self.settle(asked);
                    continue;
                }
            }
            asked = match self.asks.recv_timeout(LOOK_EVERY) {
                Ok(first) => {
                    asked.add(first);
                    self.settle(asked)
                }
                Err(RecvTimeoutError::Timeout) if self.seen.is_outdated() => self.settle(asked),
                Err(RecvTimeoutError::Timeout) => asked,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Waits until the changes pause.
    fn settle(&self, mut asked: Asked) -> Asked {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.asks.recv_timeout(QUIET) {
                Ok(ask) => asked.add(ask),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        asked
    }

    /// Answers what is still asked for after it: what came when the files had changed again, and all of it if that made
    /// an end of this.
    fn reload(&mut self, mut asked: Asked) -> Asked {
        systemd::reloading();
        let (at, started) = (SystemTime::now(), Instant::now());
        observe::output::reopen();
        self.seen = self.seen.again();
        let before = self.loader.editions.current();
        let progress = Progress::default();
        asked.waiting.iter().for_each(|waiter| progress.tell_also(waiter.steps.clone()));
        let (result, later) = self.load_aside(&progress, &mut asked);
        let result = result.unwrap_or_else(|what| {
            Err(Errors::from_iter([ConfigError::new(Place::file(&self.loader.file), what)]))
        });
        if progress.is_superseded() && result.is_err() {
            tracing::info!(
                "the files have changed again: what was being loaded is given up for what they say now"
            );
            progress.tell(Step::Again);
            return asked.and(later);
        }
        let took = started.elapsed();
        let edition = self.loader.editions.current();
        audit::note(asked.by.first().unwrap_or(&Who::Files), &before, &edition, &result);
        match &result {
            Ok(kept_back) => {
                for KeptBack { plugin, live, because, may_pass: _ } in kept_back {
                    tracing::error!(
                        plugin,
                        live,
                        "the new version can't be used, the last good one serves on: {because}"
                    );
                }
                let ms = took.as_millis() as u64;
                let (routes, plugins) = (edition.snapshot.routes.len(), edition.snapshot.versions());
                tracing::info!(routes, plugins, ms, "the configuration is live");
                systemd::ready(&format!("serving {routes} routes"));
            }
            Err(errors) => {
                self.seen.add_missing(errors);
                tracing::error!("the new configuration is refused, the running one serves on:\n{errors}");
                systemd::ready(&format!("serving; a new configuration was refused: {} errors", errors.len()));
            }
        }
        self.again.note(match &result {
            Ok(kept_back) => kept_back.iter().any(|kept| kept.may_pass),
            Err(errors) => errors.iter().any(|error| error.may_pass),
        });
        self.watch_folders();
        asked.answer(&self.record.keep(Outcome { at, took, result }));
        later
    }

    /// Loads on a thread that ends with it: one that stayed would hold on to a part of the memory that it takes
    /// to load, a little more each time. A panic is a bug of ours, and no reason to end what runs.
    ///
    /// Who asks meanwhile waits for it, too. Where the files have changed since they were read it is superseded; then it
    /// is no longer waited for registries, and what is asked for from then on is answered.
    fn load_aside(&mut self, progress: &Progress, asked: &mut Asked) -> (Loading, Asked) {
        let (read, mut later) = (OnceLock::new(), Asked::default());
        let Reloader { loader, seen, asks, ask, .. } = self;
        let result = thread::scope(|scope| {
            let thread = thread::Builder::new().name("limen-load".to_owned());
            let done = Done(ask);
            let loading = thread.spawn_scoped(scope, || {
                let _done = done;
                loader.load_and_apply(&read, progress)
            });
            let loading = loading.map_err(|error| format!("can't start a thread to load it: {error}"))?;
            loop {
                let came = asks.recv_timeout(LOOK_EVERY);
                if let Ok(Ask::Loaded) | Err(RecvTimeoutError::Disconnected) = came {
                    break;
                }
                let is_outdated = read.get().unwrap_or(seen).is_outdated();
                if is_outdated {
                    progress.supersede();
                }
                match came {
                    Ok(came) if is_outdated => later.add(came),
                    Ok(Ask::Reload(who, waiter)) => {
                        observe::output::reopen();
                        waiter.iter().for_each(|waiter| progress.tell_also(waiter.steps.clone()));
                        asked.add(Ask::Reload(who, waiter));
                    }
                    _ => {}
                }
            }
            loading.join().map_err(|_| {
                "the gateway panicked while it loaded this, which is a bug in limen (see the log)".to_owned()
            })
        });
        if let Some(read) = read.into_inner() {
            self.seen = read;
        }
        (result, later)
    }

    /// Watches the folders of all files: editors and builds replace files more often than they
    /// write into them.
    fn watch_folders(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let folders = self.seen.folders();
        for gone in self.folders.difference(&folders) {
            // It may be gone from the disk as well.
            let _ = watcher.unwatch(gone);
        }
        // Those that are watched as well: what has that name now may be another folder.
        for folder in &folders {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!("can't watch {}: {error}", folder.display());
            }
        }
        self.folders = folders;
    }
}

impl Loader {
    /// Until all of it is known to be good nothing changes. How the files looked that it read is put into `read`.
    fn load_and_apply(
        &self,
        read: &OnceLock<Fingerprint>,
        progress: &Progress,
    ) -> Result<Vec<KeptBack>, Errors> {
        let (config, documents, seen) = load(&self.file)?;
        let _ = read.set(seen); // it is read once
        let running = self.editions.current();
        let (before, registry) = (&running.snapshot, &self.registry);
        let (snapshot, kept_back) =
            Snapshot::build(&config, documents, Some(before), registry, &before.state, progress)?;
        let admin = self.admin.open(config.admin.as_ref(), None);
        let sockets = socket::open(&config.listeners, self.workers, &running.sockets, &mut Vec::new());
        let (admin, sockets) = match (admin, sockets) {
            (Ok(admin), Ok(sockets)) => (admin, sockets),
            (admin, sockets) => {
                let errors = sockets.err().into_iter().flatten().chain(admin.err());
                return Err(errors.collect());
            }
        };
        snapshot.prepare();
        snapshot.tell_left_out(Some(&running.snapshot));
        announce(&config, &sockets, &running.sockets);
        if self.editions.publish(config, snapshot, sockets) {
            self.admin.listen(admin);
        }
        Ok(kept_back)
    }
}

/// What became of a load; or why it did not end.
type Loading = Result<Result<Vec<KeptBack>, Errors>, String>;

/// Says it at its end, whatever that is.
struct Done<'a>(&'a Sender<Ask>);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        let _ = self.0.send(Ask::Loaded); // the reloader waits for it
    }
}

/// A configuration, the documents that it names, and how its files looked before they were read: what changes
/// after that is seen as a change.
pub fn load(file: &Path) -> Result<(Config, Documents, Fingerprint), Errors> {
    let (config, documents) = (crate::load_config(file)?, Documents::default());
    let seen = Fingerprint::of(&config, &documents);
    Ok((config, documents, seen))
}

/// Says where the listeners are that were not `running` before, and which of those are gone.
pub fn announce(config: &Config, sockets: &[Arc<Sockets>], running: &[Arc<Sockets>]) {
    let is_in = |all: &[Arc<Sockets>], one: &Arc<Sockets>| all.iter().any(|other| Arc::ptr_eq(one, other));
    for gone in running.iter().filter(|old| !is_in(sockets, old)) {
        tracing::info!("no longer listening on {} ({})", gone.address, gone.name);
    }
    for (listener, new) in config.listeners.iter().zip(sockets).filter(|(_, new)| !is_in(running, new)) {
        let scheme = if listener.tls.is_some() { "https" } else { "http" };
        say(&format!("listening on {scheme}://{} ({})", new.address, listener.name));
    }
}
