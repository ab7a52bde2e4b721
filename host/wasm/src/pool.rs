//! Isolates that may serve again: per worker, one exchange after another.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use limen_config::{IsolateMode, PluginLimits};
use limen_policy::{Failure, FailureKind};

use crate::engine::{Engine, ISOLATES};
use crate::image::Image;
use crate::isolate::Isolate;
use crate::state::Grounds;

/// How many idle isolates all workers keep of all pools: the others are for whoever comes.
const IDLE: usize = ISOLATES as usize / 2;
/// Isolates that nobody has needed for so long are let go.
const IDLE_FOR: Duration = Duration::from_secs(10);

thread_local! {
    static WORKER: Cell<Option<usize>> = const { Cell::new(None) };
    /// The pools that have had idle isolates of this worker, and when they were last looked through.
    static POOLS: RefCell<(Option<Instant>, Vec<Weak<IsolatePool>>)> = const { RefCell::new((None, Vec::new())) };
}

/// Says which worker the current thread is: each number is one thread's. A thread that never says so
/// keeps no isolates.
pub fn set_worker(number: usize) {
    WORKER.set(Some(number));
}

/// The number of the worker that the current thread is, if it is one.
pub(crate) fn worker() -> Option<usize> {
    WORKER.get()
}

/// Lets go what this worker has kept for nothing. To be called every few seconds.
pub fn tend() {
    POOLS.with_borrow_mut(|(last, pools)| {
        if last.is_some_and(|last| last.elapsed() < IDLE_FOR) {
            return;
        }
        *last = Some(Instant::now());
        pools.retain(|pool| pool.upgrade().is_some_and(|pool| pool.prune()));
    });
}

/// Isolates of one image under one set of limits. Attachments of one plugin with the same settings
/// share it. It goes with the last snapshot that names it, and its isolates with it.
pub(crate) struct IsolatePool {
    engine: Arc<Engine>,
    pub(crate) image: Arc<Image>,
    pub(crate) grounds: Arc<Grounds>,
    pub(crate) limits: PluginLimits,
    mode: IsolateMode,
    /// One per worker, each on a cache line of its own: a lock that nobody else takes.
    shelves: Box<[Shelf]>,
    idle: Arc<IdleCounts>,
}

#[repr(align(128))]
#[derive(Default)]
struct Shelf(Mutex<Idle>);

/// The idle isolates that one worker has of one pool.
#[derive(Default)]
struct Idle {
    #[expect(clippy::vec_box, reason = "taking one moves a pointer, and not half a KiB")]
    isolates: Vec<Box<Isolate>>,
    /// The fewest there were since they were last looked through: so many nobody needed.
    fewest: usize,
    /// Whether the worker knows of this pool.
    listed: bool,
}

/// How many idle isolates each worker has.
pub(crate) struct IdleCounts(Box<[IdleCount]>);

#[repr(align(128))]
#[derive(Default)]
struct IdleCount(AtomicUsize);

impl IdleCounts {
    pub(crate) fn new(workers: usize) -> Arc<Self> {
        Arc::new(IdleCounts((0..workers).map(|_| IdleCount::default()).collect()))
    }

    /// Whether there is room for one more; if so it is taken.
    fn add(&self, worker: usize) -> bool {
        let room = IDLE / self.0.len().max(1);
        self.0.get(worker).is_some_and(|count| {
            let free = count.0.load(Ordering::Relaxed) < room;
            if free {
                count.0.fetch_add(1, Ordering::Relaxed);
            }
            free
        })
    }

    fn remove(&self, worker: usize, isolates: usize) {
        if let Some(count) = self.0.get(worker) {
            count.0.fetch_sub(isolates, Ordering::Relaxed);
        }
    }
}

impl IsolatePool {
    pub(crate) fn new(
        engine: Arc<Engine>,
        image: Arc<Image>,
        grounds: Arc<Grounds>,
        limits: PluginLimits,
        mode: IsolateMode,
        idle: Arc<IdleCounts>,
    ) -> Self {
        let kept = mode == IsolateMode::Reused || image.rewind.is_ok();
        let shelves = (0..if kept { idle.0.len() } else { 0 }).map(|_| Shelf::default()).collect();
        IsolatePool { engine, image, grounds, limits, mode, shelves, idle }
    }

    /// An isolate for one exchange.
    pub(crate) async fn take(&self) -> Result<Box<Isolate>, Failure> {
        match self.take_idle() {
            Some(isolate) => Ok(isolate),
            None => self.make().await,
        }
    }

    /// One that is there already.
    pub(crate) fn take_idle(&self) -> Option<Box<Isolate>> {
        let (worker, shelf) = self.shelf()?;
        let mut idle = shelf.lock();
        let isolate = idle.isolates.pop()?;
        idle.fewest = idle.fewest.min(idle.isolates.len());
        drop(idle);
        self.idle.remove(worker, 1);
        Some(isolate)
    }

    /// Gives an isolate back after the last hook of its exchange. A fresh one serves again only as if it
    /// were new.
    pub(crate) fn give_back(self: &Arc<Self>, mut isolate: Box<Isolate>) {
        // What it has left open would be there for another exchange.
        if isolate.store.data().holds_calls() {
            return;
        }
        let Some((worker, shelf)) = self.shelf() else { return };
        let as_new = match self.mode {
            IsolateMode::Reused => isolate.is_usable(),
            IsolateMode::Fresh => isolate.rewind(&self.image.code, &self.engine),
        };
        if as_new {
            self.shelve(isolate, worker, shelf);
        }
    }

    /// Puts one back that nobody has used.
    pub(crate) fn put_back(self: &Arc<Self>, isolate: Box<Isolate>) {
        if let Some((worker, shelf)) = self.shelf() {
            self.shelve(isolate, worker, shelf);
        }
    }

    fn shelve(self: &Arc<Self>, isolate: Box<Isolate>, worker: usize, shelf: &Shelf) {
        if !self.idle.add(worker) {
            return;
        }
        let mut idle = shelf.lock();
        idle.isolates.push(isolate);
        if !std::mem::replace(&mut idle.listed, true) {
            drop(idle);
            POOLS.with_borrow_mut(|(_, pools)| pools.push(Arc::downgrade(self)));
        }
    }

    /// Lets go the isolates that this worker did not need lately; whether it has any left.
    fn prune(&self) -> bool {
        let Some((worker, shelf)) = self.shelf() else { return false };
        let mut idle = shelf.lock();
        let unneeded = idle.fewest.min(idle.isolates.len());
        // The oldest are at the front.
        let gone: Vec<_> = idle.isolates.drain(..unneeded).collect();
        idle.fewest = idle.isolates.len();
        idle.listed = !idle.isolates.is_empty();
        let listed = idle.listed;
        drop(idle);
        self.idle.remove(worker, gone.len());
        listed
    }

    /// A new isolate, with the memory that `configure` left.
    pub(crate) async fn make(&self) -> Result<Box<Isolate>, Failure> {
        let made = self.make_one().await;
        made.inspect_err(|failure| {
            if failure.kind == FailureKind::NoIsolate {
                self.grounds.keeper.note_full(failure);
            }
        })
    }

    async fn make_one(&self) -> Result<Box<Isolate>, Failure> {
        let image = &self.image;
        let mut isolate =
            Isolate::start(&self.engine, &image.code, self.grounds.clone(), &self.limits).await?;
        if image.start.in_each_isolate() {
            isolate.store.data_mut().grounds = self.grounds.configuring();
            isolate.configure(&image.exports, &image.settings.json).await?.map_err(|reason| {
                Failure::new(FailureKind::Failed, format!("configure refused its settings: {reason}"))
            })?;
            isolate.store.data_mut().grounds = self.grounds.clone();
        }
        Ok(Box::new(isolate))
    }

    fn shelf(&self) -> Option<(usize, &Shelf)> {
        let worker = WORKER.get()?;
        Some((worker, self.shelves.get(worker)?))
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for IsolatePool {
    fn drop(&mut self) {
        for (worker, shelf) in self.shelves.iter().enumerate() {
            self.idle.remove(worker, shelf.lock().isolates.len());
        }
    }
}
