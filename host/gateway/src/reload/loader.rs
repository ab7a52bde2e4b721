//! Makes the files the next edition.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use limen_config::{Config, Errors};
use limen_policy::native::Documents;
use limen_wasm::Registry;

use super::Fingerprint;
use crate::admin::Admin;
use crate::edition::Editions;
use crate::listener::socket::{self, Sockets};
use crate::progress::Progress;
use crate::run::say;
use crate::snapshot::{KeptBack, NotBuilt, Snapshot};

pub struct Loader {
    pub file: PathBuf,
    pub registry: Registry,
    pub editions: Editions,
    pub workers: usize,
    pub admin: Arc<Admin>,
}

impl Loader {
    /// Until all of it is known to be good nothing changes. How the files looked that it read is put into `read`.
    pub fn load_and_apply(
        &self,
        read: &OnceLock<Fingerprint>,
        progress: &Progress,
    ) -> Result<Vec<KeptBack>, NotBuilt> {
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
                return Err(NotBuilt::Refused(errors.collect()));
            }
        };
        progress.go_on()?;
        snapshot.prepare();
        snapshot.tell_left_out(Some(&running.snapshot));
        announce(&config, &sockets, &running.sockets);
        if self.editions.publish(config, snapshot, sockets) {
            self.admin.listen(admin);
        }
        Ok(kept_back)
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
