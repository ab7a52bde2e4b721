//! Watch, load, build, swap; on any error keep what runs and say why.

mod again;
mod asked;
mod audit;
mod fingerprint;
mod loader;
mod record;
mod watch;

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use limen_config::{ConfigError, Errors, Place};
use limen_wasm::Registry;

use crate::admin::Admin;
use crate::edition::Editions;
use crate::observe;
use crate::progress::{Progress, Step};
use crate::snapshot::{KeptBack, NotBuilt};
use crate::systemd;
use again::Again;
use asked::Asked;
pub use asked::{Ask, Waiter};
pub use fingerprint::Fingerprint;
use loader::Loader;
pub use loader::{announce, load};
pub use record::{Outcome, Record};
use watch::Watch;

/// Changes that come this close together are one: a compiler writes its file in pieces.
const QUIET: Duration = Duration::from_millis(50);
/// ... but what goes on changing is looked at this often all the same.
const PATIENCE: Duration = Duration::from_millis(500);
/// The files are looked at this often without any event, too: network file systems send none, and
/// nor does a folder that was removed and made again, which nobody watches yet.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many loads in a row are given up because the files have changed again. The next one goes live whatever changes, lest
/// nothing ever does.
const GIVEN_UP_AT_MOST: usize = 8;

/// Keeps the running edition up to date with the files it was made of.
pub struct Reloader {
    loader: Loader,
    record: Arc<Record>,
    seen: Fingerprint,
    watch: Watch,
    asks: Receiver<Ask>,
    again: Again,
    /// Loads that were given up since the last one that came to its end.
    given_up: usize,
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
        let watch = Watch::new(&seen, ask.clone());
        registry.step_back();
        let file = editions.current().config.file.clone();
        let record = admin.reloads();
        let loader = Loader { file, registry, editions, workers, admin };
        let reloader = Reloader { loader, record, seen, watch, asks, again: Again::default(), given_up: 0 };
        (reloader, ask)
    }

    /// Reloads whenever it is asked to or the files change, until the gateway drains.
    pub fn run(mut self) {
        // What changed while the first snapshot was being built, nobody was watching yet.
        let mut asked = Asked::default();
        while !self.loader.editions.is_draining() {
            if asked.is_due() || self.seen.is_outdated() || self.again.is_due() {
                asked = self.reload(asked);
                if asked.is_due() || self.seen.is_outdated() {
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

    /// Answers what is still asked for after it: what came too late to wait for it; all of it, and that it is due, if
    /// this was given up.
    fn reload(&mut self, mut asked: Asked) -> Asked {
        systemd::reloading();
        let (at, started) = (SystemTime::now(), Instant::now());
        observe::output::reopen();
        self.seen = self.seen.again();
        let before = self.loader.editions.current();
        let progress = Progress::default();
        asked.follow(&progress);
        let (result, later) = self.load_aside(&progress, &mut asked);
        let result = match result {
            Ok(kept_back) => Ok(kept_back),
            Err(NotBuilt::Refused(errors)) => Err(errors),
            Err(NotBuilt::Superseded) => {
                self.given_up += 1;
                tracing::info!(
                    "the files have changed again: what was being loaded is given up for what they say now"
                );
                progress.tell(Step::Again);
                return asked.again(later);
            }
        };
        self.given_up = 0;
        let took = started.elapsed();
        let edition = self.loader.editions.current();
        audit::note(asked.by(), &before, &edition, &result);
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
        self.watch.follow(&self.seen);
        asked.answer(&self.record.keep(Outcome { at, took, result }));
        later
    }

    /// Loads on a thread that ends with it: one that stayed would hold on to a part of the memory that it takes
    /// to load, a little more each time. A panic is a bug of ours, and no reason to end what runs.
    ///
    /// Who asks while components are got waits for it, too. Where the files have changed since they were read it is
    /// superseded, and what is asked for from then on is answered.
    fn load_aside(
        &mut self,
        progress: &Progress,
        asked: &mut Asked,
    ) -> (Result<Vec<KeptBack>, NotBuilt>, Asked) {
        let (read, mut later) = (OnceLock::new(), Asked::default());
        let Reloader { loader, asks, given_up, .. } = self;
        let result = thread::scope(|scope| {
            let (loading, is_over) = channel::<Infallible>();
            let (loader, read) = (&*loader, &read);
            let load = move || {
                let _loading = loading; // it is gone at the end, whatever that is
                loader.load_and_apply(read, progress)
            };
            let thread = thread::Builder::new().name("limen-load".to_owned());
            let thread = thread.spawn_scoped(scope, load);
            let thread = thread.map_err(|error| format!("can't start a thread to load it: {error}"))?;
            let mut looked = Instant::now();
            while let Err(RecvTimeoutError::Timeout) = is_over.recv_timeout(QUIET) {
                let Some(read) = read.get() else { continue };
                let came: Vec<_> = asks.try_iter().collect();
                if came.is_empty() && looked.elapsed() < LOOK_EVERY {
                    continue;
                }
                looked = Instant::now();
                let is_outdated = read.is_outdated();
                if is_outdated && *given_up < GIVEN_UP_AT_MOST {
                    progress.supersede();
                }
                for ask in came {
                    match ask {
                        Ask::Reload(_, waiter) if !is_outdated && progress.is_getting() => {
                            observe::output::reopen();
                            waiter.iter().for_each(|waiter| progress.tell_also(waiter.steps.clone()));
                            asked.join(waiter);
                        }
                        ask => later.add(ask),
                    }
                }
            }
            thread.join().map_err(|_| {
                "the gateway panicked while it loaded this, which is a bug in limen (see the log)".to_owned()
            })
        });
        if let Some(read) = read.into_inner() {
            self.seen = read;
        }
        let result = result.unwrap_or_else(|what| {
            let error = ConfigError::new(Place::file(&self.loader.file), what);
            Err(NotBuilt::Refused(Errors::from_iter([error])))
        });
        (result, later)
    }
}
