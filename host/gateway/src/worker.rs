//! One worker per core: its runtime, its sockets, its upstream connections, its isolates.
//!
//! What a request touches belongs to its worker. Workers share only what is read often and written
//! seldom: the snapshot.

use std::cell::{Cell, OnceCell, RefCell};
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use limen_policy::{RequestId, RouteFacts};
use tokio::sync::{mpsc, watch};

use crate::listener;
use crate::observe::Observers;
use crate::observe::metrics::{Metrics, WorkerMeters};
use crate::snapshot::Snapshot;
use crate::upstream::{Pools, Upstream};

/// How often connections that have been idle for too long are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(10);

pub struct Worker {
    number: usize,
    /// What makes this worker's request ids its own.
    seed: u64,
    requests: Cell<u64>,
    world: RefCell<Rc<World>>,
    pools: Rc<Pools>,
    meters: Arc<WorkerMeters>,
}

/// A snapshot as one worker sees it. A request keeps the world it began in.
pub struct World {
    pub snapshot: Arc<Snapshot>,
    /// Who watches the exchanges; none costs nothing.
    pub observers: Option<Observers>,
    upstreams: Vec<Upstream>,
    /// Made at a route's first request here: every exchange counts references to its own copy, and
    /// not to one that all workers share.
    facts: Vec<OnceCell<Arc<RouteFacts>>>,
}

/// What a worker is started with.
pub struct Start {
    pub number: usize,
    /// One socket per listener of the configuration.
    pub sockets: Vec<TcpListener>,
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    pub drain: watch::Receiver<bool>,
    /// How long requests under way have once the gateway drains.
    pub drain_limit: Duration,
    pub metrics: Arc<Metrics>,
}

/// Tells a connection that the gateway drains. As long as one is held, its worker waits.
#[derive(Clone)]
pub struct Drain {
    signal: watch::Receiver<bool>,
    _alive: mpsc::Sender<Infallible>,
}

impl Drain {
    /// Ends when draining has begun.
    pub async fn started(&mut self) {
        // The sender is gone only when the process is about to be.
        let _ = self.signal.wait_for(|draining| *draining).await;
    }
}

/// Runs a worker on the current thread until it has drained.
pub fn run(start: Start) -> io::Result<()> {
    limen_wasm::set_worker(start.number);
    let options = tokio::runtime::LocalOptions::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(options)?;
    runtime.block_on(Worker::work(start))
}

impl Worker {
    async fn work(start: Start) -> io::Result<()> {
        let Start { number, sockets, mut snapshots, drain, drain_limit, metrics } = start;
        let first = snapshots.borrow_and_update().clone();
        let worker = Rc::new_cyclic(|_| Worker {
            number,
            seed: RandomState::new().hash_one(number),
            requests: Cell::new(0),
            world: RefCell::new(Rc::new(World::blank(first.clone()))),
            pools: Rc::default(),
            meters: metrics.worker(),
        });
        worker.enter(first);

        let (alive, mut all_gone) = mpsc::channel(1);
        let drain = Drain { signal: drain, _alive: alive };
        for (number, socket) in sockets.into_iter().enumerate() {
            let socket = tokio::net::TcpListener::from_std(socket)?;
            tokio::task::spawn_local(listener::accept(worker.clone(), socket, number, drain.clone()));
        }
        let updates = tokio::task::spawn_local(worker.clone().follow(snapshots));
        let pruning = tokio::task::spawn_local(worker.clone().prune());

        let mut draining = drain.clone();
        drop(drain);
        draining.started().await;
        drop(draining);
        // Each acceptor and connection holds the sender of this channel.
        if tokio::time::timeout(drain_limit, all_gone.recv()).await.is_err() {
            tracing::warn!(
                worker = number,
                "connections were still open after {drain_limit:?}: closing them"
            );
        }
        updates.abort();
        pruning.abort();
        Ok(())
    }

    /// The world that a request which begins now lives in.
    pub fn world(&self) -> Rc<World> {
        self.world.borrow().clone()
    }

    pub fn next_id(&self) -> RequestId {
        let number = self.requests.get();
        self.requests.set(number.wrapping_add(1));
        RequestId { worker: self.seed, number }
    }

    /// Enters each new snapshot when it is there.
    async fn follow(self: Rc<Self>, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        while snapshots.changed().await.is_ok() {
            let snapshot = snapshots.borrow_and_update().clone();
            self.enter(snapshot);
        }
    }

    /// Makes a world of a snapshot. Connections to endpoints that it still names are kept.
    fn enter(&self, snapshot: Arc<Snapshot>) {
        let upstreams = snapshot
            .upstreams
            .iter()
            .map(|shared| Upstream::new(shared.clone(), self.pools.clone(), self.number));
        let upstreams = upstreams.collect();
        let facts = snapshot.routes.iter().map(|_| OnceCell::new()).collect();
        let observers = Observers::new(&snapshot, &self.meters);
        *self.world.borrow_mut() = Rc::new(World { snapshot, observers, upstreams, facts });
        self.pools.prune();
    }

    async fn prune(self: Rc<Self>) {
        loop {
            tokio::time::sleep(PRUNE_EVERY).await;
            self.pools.prune();
        }
    }
}

impl World {
    fn blank(snapshot: Arc<Snapshot>) -> Self {
        World { snapshot, observers: None, upstreams: Vec::new(), facts: Vec::new() }
    }

    /// The upstream of this number.
    pub fn upstream(&self, number: usize) -> Option<&Upstream> {
        self.upstreams.get(number)
    }

    /// What policies may know of the route of this number.
    pub fn facts(&self, number: usize) -> Arc<RouteFacts> {
        match (self.facts.get(number), self.snapshot.routes.get(number)) {
            (Some(cell), Some(route)) => cell.get_or_init(|| Arc::new(route.facts.clone())).clone(),
            _ => Arc::default(),
        }
    }
}
