//! Isolates that may serve again: per worker, one exchange after another.

use std::cell::Cell;
use std::sync::{Arc, Mutex, PoisonError};

use limen_config::{IsolateMode, PluginLimits};
use limen_policy::{Failure, FailureKind};

use crate::engine::Engine;
use crate::image::Image;
use crate::isolate::Isolate;
use crate::state::Grounds;

/// How many idle isolates one worker keeps of one pool.
const IDLE_EACH: usize = 32;

thread_local! {
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Says which worker the current thread is; a thread that never says so is worker 0.
pub fn set_worker(number: usize) {
    WORKER.set(number);
}

/// Isolates of one image under one set of limits. Attachments of one plugin with the same settings
/// share it. It goes with the last snapshot that names it, and its isolates with it.
pub(crate) struct IsolatePool {
    engine: Arc<Engine>,
    pub(crate) image: Arc<Image>,
    grounds: Arc<Grounds>,
    pub(crate) limits: PluginLimits,
    mode: IsolateMode,
    /// One list per worker, each on a cache line of its own: a lock that nobody else takes.
    idle: Box<[Shelf]>,
}

#[repr(align(128))]
#[derive(Default)]
struct Shelf(Mutex<Vec<Isolate>>);

impl IsolatePool {
    pub(crate) fn new(
        engine: Arc<Engine>,
        image: Arc<Image>,
        grounds: Arc<Grounds>,
        limits: PluginLimits,
        mode: IsolateMode,
        workers: usize,
    ) -> Self {
        let shelves = if mode == IsolateMode::Reused { workers } else { 0 };
        let idle = (0..shelves).map(|_| Shelf::default()).collect();
        IsolatePool { engine, image, grounds, limits, mode, idle }
    }

    /// An isolate for one exchange.
    pub(crate) async fn take(&self) -> Result<Isolate, Failure> {
        let idle =
            self.shelf().and_then(|shelf| shelf.0.lock().unwrap_or_else(PoisonError::into_inner).pop());
        match idle {
            Some(isolate) => Ok(isolate),
            None => self.make().await,
        }
    }

    /// Gives an isolate back after the last hook of its exchange. A fresh one has served its life.
    pub(crate) fn give_back(&self, isolate: Isolate) {
        if self.mode == IsolateMode::Fresh || !isolate.is_usable() {
            return;
        }
        if let Some(shelf) = self.shelf() {
            let mut idle = shelf.0.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_EACH {
                idle.push(isolate);
            }
        }
    }

    /// A new isolate, with the memory that `configure` left.
    async fn make(&self) -> Result<Isolate, Failure> {
        let image = &self.image;
        let mut isolate =
            Isolate::start(&self.engine, &image.pre, self.grounds.clone(), &self.limits).await?;
        if image.start.in_each_isolate() {
            isolate.configure(&image.exports, &image.settings.json).await?.map_err(|reason| {
                Failure::new(FailureKind::Failed, format!("configure refused its settings: {reason}"))
            })?;
        }
        Ok(isolate)
    }

    fn shelf(&self) -> Option<&Shelf> {
        self.idle.get(WORKER.get())
    }
}
