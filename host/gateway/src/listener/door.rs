//! A listener, as one worker and the connections that came in by it know it.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use tokio::sync::Notify;

use crate::worker::{Worker, World};

/// Connections hold the door that they came in by, and not a number that a reload may shift: it
/// outlives the listener's place in the configuration, and the listener itself.
pub struct Door {
    /// The listener's number in the worker's present world, or in `last`.
    number: Cell<usize>,
    phase: Cell<Phase>,
    changed: Notify,
    /// Set when the listener is gone: the last world that knew it, for requests that still come.
    last: OnceCell<Rc<World>>,
}

/// What becomes of a listener, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Open,
    /// The gateway is about to drain: connections are still taken, and each answer asks its client to
    /// open another one next time.
    Leaving,
    /// No new connections. Those that are open end with the request under way, idle ones soon.
    Closing(Queue),
    /// Whatever is still open is cut off.
    Over,
}

/// What becomes of connections that the kernel has taken and nobody has accepted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Queue {
    /// They would be lost with the socket: we serve them.
    Ours,
    /// Another process has the socket too, and serves them.
    Theirs,
}

impl Door {
    pub fn new() -> Rc<Self> {
        Rc::new(Door {
            number: Cell::new(usize::MAX),
            phase: Cell::new(Phase::Open),
            changed: Notify::new(),
            last: OnceCell::new(),
        })
    }

    /// The number of this listener in the world that a request which begins now lives in.
    fn number(&self) -> usize {
        self.number.get()
    }

    /// The world that a request which begins now lives in, and the number of this listener there.
    pub fn world(&self, worker: &Worker) -> (Rc<World>, usize) {
        (self.last.get().cloned().unwrap_or_else(|| worker.world()), self.number())
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether clients are to go elsewhere with their next request.
    pub fn is_leaving(&self) -> bool {
        self.phase.get() != Phase::Open
    }

    /// Ends when no more connections are taken.
    pub async fn closing(&self) {
        self.reached(Phase::Closing(Queue::Ours)).await;
    }

    /// Ends when every connection has to.
    pub async fn over(&self) {
        self.reached(Phase::Over).await;
    }

    async fn reached(&self, phase: Phase) {
        loop {
            let changed = self.changed.notified();
            if self.phase.get() >= phase {
                return;
            }
            changed.await;
        }
    }

    /// It has this number from now on.
    pub fn moved(&self, number: usize) {
        self.number.set(number);
    }

    /// The world it was in knows it no more.
    pub fn gone_from(&self, world: Rc<World>) {
        let _ = self.last.set(world); // it goes once
    }

    /// The next phase; never back.
    pub fn enter(&self, phase: Phase) {
        if phase > self.phase.get() {
            self.phase.set(phase);
            self.changed.notify_waiters();
        }
    }
}
