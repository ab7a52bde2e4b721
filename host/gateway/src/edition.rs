//! What all workers serve at one moment, and who may change it.

use std::sync::Arc;

use limen_config::Config;
use tokio::sync::watch;

use crate::listener::socket::Sockets;
use crate::snapshot::Snapshot;

/// A configuration, what it means, and the sockets where it is served. Reloads, drains and takeovers
/// are all the same to a worker: the next edition.
#[derive(Clone)]
pub struct Edition {
    pub config: Arc<Config>,
    pub snapshot: Arc<Snapshot>,
    /// One for each listener of the snapshot, in its order; none once the gateway drains.
    pub sockets: Vec<Arc<Sockets>>,
    pub stage: Stage,
}

/// How the gateway as a whole is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Serving,
    /// Told to stop, and still taking connections: `drain_delay`.
    Leaving,
    /// No new connections.
    Draining,
    /// The same, because another process serves the sockets from now on.
    TakenOver,
}

impl Stage {
    /// No connections are taken any more.
    pub fn is_draining(self) -> bool {
        matches!(self, Stage::Draining | Stage::TakenOver)
    }
}

/// Where editions come from.
#[derive(Clone)]
pub struct Editions(watch::Sender<Edition>);

impl Editions {
    pub fn new(first: Edition) -> Self {
        Editions(watch::Sender::new(first))
    }

    pub fn subscribe(&self) -> watch::Receiver<Edition> {
        self.0.subscribe()
    }

    pub fn current(&self) -> Edition {
        self.0.borrow().clone()
    }

    pub fn is_draining(&self) -> bool {
        self.0.borrow().stage.is_draining()
    }

    /// The next configuration. A gateway that drains has no next one: answers whether it is published.
    pub fn publish(&self, config: Config, snapshot: Snapshot, sockets: Vec<Arc<Sockets>>) -> bool {
        let (config, snapshot) = (Arc::new(config), Arc::new(snapshot));
        self.0.send_if_modified(|edition| {
            let stage = edition.stage;
            if !stage.is_draining() {
                *edition = Edition { config, snapshot, sockets, stage };
            }
            !stage.is_draining()
        })
    }

    /// Asks clients to go elsewhere with their next request. Answers whether that is news.
    pub fn leave(&self) -> bool {
        self.0.send_if_modified(|edition| {
            let news = edition.stage == Stage::Serving;
            if news {
                edition.stage = Stage::Leaving;
            }
            news
        })
    }

    /// Closes every listener: to drain is to have none.
    pub fn drain(&self, stage: Stage) {
        self.0.send_if_modified(|edition| {
            let news = !edition.stage.is_draining();
            if news {
                edition.stage = stage;
                edition.sockets.clear();
            }
            news
        });
    }
}
