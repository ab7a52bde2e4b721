//! One worker per core: its runtime, its sockets, its upstream connections, its isolates.
//!
//! What a request touches belongs to its worker. Workers share only what is read often and written
//! seldom: the snapshot.
//!
//! A panic costs the connection that it happened on (HTTP/2: the stream), as the task of that is all
//! that it unwinds; one outside of them ends the process, see [`crate::thread`].

use std::cell::{Cell, OnceCell, RefCell};
use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use limen_policy::{Fetch, RequestId, RouteFacts};
use tokio::sync::{mpsc, watch};

use crate::edition::{Edition, Stage};
use crate::fetch;
use crate::listener;
use crate::listener::door::{Door, Phase, Queue};
use crate::listener::socket::Sockets;
use crate::observe::Observers;
use crate::observe::metrics::{Metrics, WorkerMeters};
use crate::run::Pulse;
use crate::snapshot::Snapshot;
use crate::upstream::{Pools, Upstream};

/// How often connections that have been idle for too long are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(2);

pub struct Worker {
    number: usize,
    /// What makes this worker's request ids its own.
    seed: u64,
    requests: Cell<u64>,
    world: RefCell<Rc<World>>,
    /// The listeners of the present world, in its order.
    doors: RefCell<Vec<(Arc<Sockets>, Rc<Door>)>>,
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
    /// By whom its policies call upstreams; none if none of them may.
    fetch: Option<Arc<dyn Fetch>>,
}

/// What a worker is started with.
pub struct Start {
    pub number: usize,
    pub metrics: Arc<Metrics>,
    pub editions: watch::Receiver<Edition>,
    /// Told once it accepts connections.
    pub ready: std::sync::mpsc::Sender<()>,
    /// If somebody wants to know that it lives.
    pub pulse: Option<Pulse>,
}

/// As long as one is held, its worker waits before it ends.
#[derive(Clone)]
pub struct Alive {
    _sender: mpsc::Sender<Infallible>,
}

/// Runs a worker on the current thread until it has drained.
pub fn run(start: Start) -> io::Result<()> {
    limen_wasm::set_worker(start.number);
    let options = tokio::runtime::LocalOptions::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(options)?;
    runtime.block_on(Worker::work(start))
}

/// What is held, and who hears when nobody holds it any more.
pub fn alive() -> (Alive, mpsc::Receiver<Infallible>) {
    let (sender, all_gone) = mpsc::channel(1);
    (Alive { _sender: sender }, all_gone)
}

impl Worker {
    /// One that has not entered any edition yet.
    pub fn new(number: usize, snapshot: Arc<Snapshot>, meters: Arc<WorkerMeters>) -> Rc<Self> {
        Rc::new(Worker {
            number,
            seed: RandomState::new().hash_one(number),
            requests: Cell::new(0),
            world: RefCell::new(Rc::new(World::blank(snapshot))),
            doors: RefCell::default(),
            pools: Rc::default(),
            meters,
        })
    }

    async fn work(start: Start) -> io::Result<()> {
        let Start { number, metrics, mut editions, ready, pulse } = start;
        let mut edition = editions.borrow_and_update().clone();
        let worker = Worker::new(number, edition.snapshot.clone(), metrics.worker());
        let (alive, mut all_gone) = alive();
        worker.enter(&edition, &alive)?;
        let pruning = tokio::task::spawn_local(worker.clone().prune());
        if let Some(pulse) = pulse {
            tokio::task::spawn_local(pulse.answer());
        }
        // Nobody listens any more if another worker could not start.
        let _ = ready.send(());
        drop(ready);

        while !edition.stage.is_draining() && editions.changed().await.is_ok() {
            edition = editions.borrow_and_update().clone();
            worker.enter(&edition, &alive)?;
        }

        drop(alive);
        // Each acceptor and connection holds the sender of this channel.
        let limit = edition.config.gateway.drain;
        if tokio::time::timeout(limit, all_gone.recv()).await.is_err() {
            tracing::warn!(worker = number, "connections were still open after {limit:?}: closing them");
        }
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
        RequestId { worker: self.seed, number, given: None }
    }

    /// Makes an edition the present: its snapshot a world, its sockets doors. Connections to endpoints
    /// that it still names are kept, and so are those that came in by a listener that it still has.
    pub fn enter(self: &Rc<Self>, edition: &Edition, alive: &Alive) -> io::Result<()> {
        let snapshot = edition.snapshot.clone();
        let observers = Observers::new(&snapshot, &self.meters);
        let world = World::new(snapshot, observers, &self.pools, self.number);
        let before = self.world.replace(world);
        self.pools.tend();
        self.open_doors(edition, &before, alive)
    }

    fn open_doors(self: &Rc<Self>, edition: &Edition, before: &Rc<World>, alive: &Alive) -> io::Result<()> {
        let mut known = self.doors.take();
        let mut doors = Vec::new();
        for (number, sockets) in edition.sockets.iter().enumerate() {
            let same = known.iter().position(|(known, _)| Arc::ptr_eq(known, sockets));
            let door = match same {
                Some(place) => known.swap_remove(place).1,
                None => self.open(sockets, alive)?,
            };
            door.moved(number);
            if edition.stage == Stage::Leaving {
                door.enter(Phase::Leaving);
            }
            doors.push((sockets.clone(), door));
        }
        *self.doors.borrow_mut() = doors;
        for (_, door) in known {
            door.gone_from(before.clone());
            let queue = if edition.stage == Stage::TakenOver { Queue::Theirs } else { Queue::Ours };
            door.enter(Phase::Closing(queue));
            // When the gateway itself drains, the end of the worker is the end of them all.
            if !edition.stage.is_draining() {
                let limit = edition.config.gateway.drain;
                tokio::task::spawn_local(async move {
                    tokio::time::sleep(limit).await;
                    door.enter(Phase::Over);
                });
            }
        }
        Ok(())
    }

    /// Begins to accept from this worker's share of a listener.
    fn open(self: &Rc<Self>, sockets: &Sockets, alive: &Alive) -> io::Result<Rc<Door>> {
        let door = Door::new();
        for socket in sockets.take(self.number) {
            let socket = tokio::net::TcpListener::from_std(socket)?;
            tokio::task::spawn_local(listener::accept::accept(
                self.clone(),
                socket,
                door.clone(),
                alive.clone(),
            ));
        }
        Ok(door)
    }

    async fn prune(self: Rc<Self>) {
        loop {
            tokio::time::sleep(PRUNE_EVERY).await;
            self.pools.tend();
            limen_wasm::tend();
        }
    }
}

impl World {
    fn blank(snapshot: Arc<Snapshot>) -> Self {
        World { snapshot, observers: None, upstreams: Vec::new(), facts: Vec::new(), fetch: None }
    }

    fn new(
        snapshot: Arc<Snapshot>,
        observers: Option<Observers>,
        pools: &Rc<Pools>,
        worker: usize,
    ) -> Rc<Self> {
        let upstreams = snapshot.upstreams.iter();
        let upstreams = upstreams.map(|shared| Upstream::new(shared.clone(), pools.clone(), worker));
        let upstreams = upstreams.collect();
        let facts = snapshot.routes.iter().map(|_| OnceCell::new()).collect();
        let calls_out = snapshot.calls_out;
        Rc::new_cyclic(|this| {
            let fetch = calls_out.then(|| fetch::open(this.clone()));
            World { snapshot, observers, upstreams, facts, fetch }
        })
    }

    /// One without exchanges.
    pub fn beside(snapshot: Arc<Snapshot>, pools: &Rc<Pools>, worker: usize) -> Rc<Self> {
        let observers = Observers::beside(&snapshot);
        World::new(snapshot, observers, pools, worker)
    }

    /// Whether any policy may call upstreams.
    pub fn calls_out(&self) -> bool {
        self.fetch.is_some()
    }

    /// By whom policies call upstreams; none if none of them may.
    pub fn fetch(&self) -> Option<Arc<dyn Fetch>> {
        self.fetch.clone()
    }

    /// The upstream of this number.
    pub fn upstream(&self, number: usize) -> Option<&Upstream> {
        self.upstreams.get(number)
    }

    /// All upstreams.
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }

    /// What policies may know of the route of this number.
    pub fn facts(&self, number: usize) -> Arc<RouteFacts> {
        match (self.facts.get(number), self.snapshot.routes.get(number)) {
            (Some(cell), Some(route)) => {
                let facts = || RouteFacts { fetch: self.fetch.clone(), ..route.facts.clone() };
                cell.get_or_init(|| Arc::new(facts())).clone()
            }
            _ => Arc::default(),
        }
    }
}
