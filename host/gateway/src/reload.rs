//! Watch, load, build, swap; on any error keep what runs and say why.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

use limen_config::{Config, ConfigError, Errors};
use limen_wasm::Registry;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch;

use crate::snapshot::{KeptBack, Snapshot};

/// Changes that come this close together are one: a compiler writes its file in pieces.
const QUIET: Duration = Duration::from_millis(50);
/// ... but what goes on changing is looked at this often all the same.
const PATIENCE: Duration = Duration::from_millis(500);
/// The files are looked at this often without any event, too: network file systems send none, and
/// nor does a folder that was removed and made again, which nobody watches yet.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why the configuration is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Something in a watched folder changed; whether it concerns us is looked up.
    FilesChanged,
    /// The operator asked for it.
    Asked,
}

/// Keeps the running snapshot up to date with the files it was made of.
pub struct Reloader {
    file: PathBuf,
    registry: Registry,
    snapshots: watch::Sender<Arc<Snapshot>>,
    /// Where the running listeners are bound: these stay until a restart.
    listeners: Vec<Bound>,
    seen: Fingerprint,
    folders: BTreeSet<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    asks: Receiver<Reason>,
}

/// What of a listener only a restart changes.
#[derive(Debug, PartialEq, Eq)]
struct Bound {
    name: String,
    address: std::net::SocketAddr,
    tls: bool,
}

impl Reloader {
    /// Watches the files of `config`, which `snapshots` was made of. What is sent on the returned
    /// channel asks for a reload.
    pub fn new(
        config: &Config,
        seen: Fingerprint,
        registry: Registry,
        snapshots: watch::Sender<Arc<Snapshot>>,
    ) -> (Self, Sender<Reason>) {
        let (ask, asks) = channel();
        let changed = ask.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too, and we read them.
            if event.is_ok_and(|event| !event.kind.is_access()) {
                // The reloader is gone only at the end of the process.
                let _ = changed.send(Reason::FilesChanged);
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!("can't watch files, only SIGHUP reloads: {error}"))
            .ok();
        let mut reloader = Reloader {
            file: config.file.clone(),
            registry,
            snapshots,
            listeners: bound(config),
            folders: BTreeSet::new(),
            seen,
            watcher,
            asks,
        };
        reloader.watch_folders();
        (reloader, ask)
    }

    /// Reloads whenever it is asked to or the files change. Does not end.
    pub fn run(mut self) {
        // What changed while the first snapshot was being built, nobody was watching yet.
        let mut reason = Reason::FilesChanged;
        loop {
            if reason == Reason::Asked || self.seen.is_outdated() {
                self.reload();
            }
            reason = match self.asks.recv_timeout(LOOK_EVERY) {
                Ok(first) => self.settle(first),
                Err(RecvTimeoutError::Timeout) if self.seen.is_outdated() => {
                    self.settle(Reason::FilesChanged)
                }
                Err(RecvTimeoutError::Timeout) => Reason::FilesChanged,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Waits until the changes pause.
    fn settle(&self, mut reason: Reason) -> Reason {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.asks.recv_timeout(QUIET) {
                Ok(Reason::Asked) => reason = Reason::Asked,
                Ok(Reason::FilesChanged) => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        reason
    }

    fn reload(&mut self) {
        let started = Instant::now();
        self.seen = self.seen.again();
        let config = match load(&self.file) {
            Ok((config, seen)) => {
                self.seen = seen;
                config
            }
            Err(errors) => return refused(&errors),
        };
        self.watch_folders();
        if bound(&config) != self.listeners {
            let place = config
                .listeners
                .first()
                .map_or_else(|| limen_config::Place::file(&self.file), |listener| listener.place.clone());
            let error = ConfigError::new(place, "the listeners changed")
                .hint("addresses are bound and TLS is switched on at start: restart the gateway for this");
            return refused(&Errors::from_iter([error]));
        }
        let previous = self.snapshots.borrow().clone();
        match Snapshot::build(&config, Some(&previous), &self.registry) {
            Ok((snapshot, kept_back)) => {
                for KeptBack { plugin, live, because } in kept_back {
                    tracing::error!(
                        plugin,
                        live,
                        "the new version can't be used, the last good one serves on: {because}"
                    );
                }
                let ms = started.elapsed().as_millis() as u64;
                let (routes, plugins) = (snapshot.routes.len(), snapshot.versions());
                self.snapshots.send_replace(Arc::new(snapshot));
                tracing::info!(routes, plugins, ms, "the configuration is live");
            }
            Err(errors) => refused(&errors),
        }
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

/// A configuration, and how its files looked before they were read: what changes after that is seen
/// as a change. Which files there are to look at is known only from reading them once.
pub fn load(file: &Path) -> Result<(Config, Fingerprint), Errors> {
    let seen = Fingerprint::of(&crate::load_config(file)?);
    Ok((crate::load_config(file)?, seen))
}

fn refused(errors: &Errors) {
    tracing::error!("the new configuration is refused, the running one serves on:\n{errors}");
}

fn bound(config: &Config) -> Vec<Bound> {
    let listeners = config.listeners.iter();
    listeners
        .map(|listener| Bound {
            name: listener.name.clone(),
            address: listener.address,
            tls: listener.tls.is_some(),
        })
        .collect()
}

/// How the files of a configuration looked when they were last read.
pub struct Fingerprint(Vec<(PathBuf, Option<Look>)>);

#[derive(PartialEq, Eq)]
struct Look {
    modified: SystemTime,
    length: u64,
    /// Replacing a file makes another one of it.
    identity: u64,
    is_folder: bool,
}

impl Fingerprint {
    /// All files that a configuration is made of: its own, components, certificates and keys. (A file
    /// that a pattern of `include` will match is seen by its folder's own look.)
    fn of(config: &Config) -> Self {
        let components = config.plugins.values().map(|plugin| &plugin.component);
        let pairs = config.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        let pairs = pairs.flat_map(|tls| &tls.certificates).flat_map(|pair| [&pair.cert, &pair.key]);
        let files = config.files.iter().chain(&config.folders).chain(components).chain(pairs).cloned();
        Fingerprint(files.map(look).collect())
    }

    /// The same files as they look now.
    fn again(&self) -> Self {
        Fingerprint(self.0.iter().map(|(file, _)| look(file.clone())).collect())
    }

    fn is_outdated(&self) -> bool {
        self.0.iter().any(|(file, seen)| look(file.clone()).1 != *seen)
    }

    fn folders(&self) -> BTreeSet<PathBuf> {
        let folders = self.0.iter().filter_map(|(file, look)| match look {
            Some(Look { is_folder: true, .. }) => Some(file.as_path()),
            _ => file.parent(),
        });
        let here = Path::new(".");
        folders.map(|folder| if folder.as_os_str().is_empty() { here } else { folder }.to_owned()).collect()
    }
}

fn look(file: PathBuf) -> (PathBuf, Option<Look>) {
    use std::os::unix::fs::MetadataExt;
    let here = if file.as_os_str().is_empty() { Path::new(".") } else { &file };
    let look = std::fs::metadata(here).ok().and_then(|found| {
        Some(Look {
            modified: found.modified().ok()?,
            length: found.len(),
            identity: found.ino(),
            is_folder: found.is_dir(),
        })
    });
    (file, look)
}
