//! A pace that all requests of a policy keep.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use limen_store::Rate;
use tokio::time::timeout;

use super::queue::{Queue, Ticket};

/// Lets requests pass one after the other. Where nobody waits, that is one exchange of an atomic number; those who
/// wait are called by a thread, which is there from the first time that somebody has to. Dropping it ends the
/// thread.
#[derive(Debug)]
pub(super) struct Shaper(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    terms: RwLock<Terms>,
    started: Instant,
    /// Nanoseconds after the start.
    arrival: AtomicU64,
    queue: Mutex<Queue>,
    /// How many there are in it.
    waiting: AtomicUsize,
    /// Somebody waits, or it is over.
    changed: Condvar,
    has_thread: AtomicBool,
    is_over: AtomicBool,
}

/// How fast, and how many may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) rate: Rate,
    pub(super) room: usize,
}

/// What waiting came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waited {
    Passed,
    /// There was no room to wait, or somebody else has it now.
    NoRoom,
    TooLong,
}

impl Shaper {
    pub(super) fn new(terms: Terms) -> Self {
        Shaper(Arc::new(Inner {
            terms: RwLock::new(terms),
            started: Instant::now(),
            arrival: AtomicU64::new(0),
            queue: Mutex::default(),
            waiting: AtomicUsize::new(0),
            changed: Condvar::new(),
            has_thread: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }))
    }

    pub(super) fn adopt(&self, terms: Terms) {
        *self.0.terms.write().unwrap_or_else(PoisonError::into_inner) = terms;
    }

    /// Whether it may pass at once. Nobody overtakes those who wait.
    pub(super) fn passes(&self, terms: Terms) -> bool {
        self.0.waiting.load(Ordering::Relaxed) == 0 && self.0.take(terms.rate).is_ok()
    }

    /// Waits for its turn, for so long. Dropped, it has left the queue.
    pub(super) async fn wait(&self, terms: Terms, level: u8, key: u128, limit: Duration) -> Waited {
        let entered = self.0.change(|queue| queue.enter(level, key, terms.room));
        let Some((ticket, going)) = entered else { return Waited::NoRoom };
        let _place = Place { inner: self.0.clone(), ticket };
        self.call();
        match timeout(limit, going).await {
            Ok(Ok(())) => Waited::Passed,
            Ok(Err(_)) => Waited::NoRoom,
            Err(_) => Waited::TooLong,
        }
    }

    /// How long it takes until all who wait have passed.
    pub(super) fn drained(&self, terms: Terms) -> Duration {
        let waiting = self.0.waiting.load(Ordering::Relaxed) as u64;
        let now = self.0.now();
        let arrival = self.0.arrival.load(Ordering::Relaxed).max(now);
        let step = terms.rate.step(arrival, now, waiting.saturating_add(1));
        Duration::from_nanos(step.next.saturating_sub(now))
    }

    /// Has somebody look after the queue.
    fn call(&self) {
        if !self.0.has_thread.swap(true, Ordering::Relaxed) {
            let inner = self.0.clone();
            let started = thread::Builder::new().name("limen-throttle".to_owned()).spawn(move || inner.run());
            if let Err(error) = started {
                tracing::error!("requests that wait are not called, no thread for it: {error}");
                self.0.has_thread.store(false, Ordering::Relaxed);
            }
        }
        self.0.changed.notify_one();
    }
}

impl Drop for Shaper {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
        // Between its look at this and its sleep the thread has the queue.
        drop(self.0.lock());
        self.0.changed.notify_one();
    }
}

impl Inner {
    /// Takes the next turn, or says how long it is until then.
    fn take(&self, rate: Rate) -> Result<(), Duration> {
        loop {
            let before = self.arrival.load(Ordering::Relaxed);
            let now = self.now();
            let step = rate.step(before.max(now), now, 1);
            if !step.allowed {
                return Err(Duration::from_nanos(step.wait.unwrap_or(u64::MAX)));
            }
            let taken =
                self.arrival.compare_exchange(before, step.next, Ordering::Relaxed, Ordering::Relaxed);
            if taken.is_ok() {
                return Ok(());
            }
        }
    }

    /// Calls those who wait, each at its time.
    fn run(&self) {
        let mut queue = self.lock();
        while !self.is_over.load(Ordering::Relaxed) {
            if queue.len() == 0 {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Terms { rate, .. } = *self.terms.read().unwrap_or_else(PoisonError::into_inner);
            match self.take(rate) {
                Ok(()) => {
                    let _ = queue.next();
                    self.waiting.store(queue.len(), Ordering::Relaxed);
                }
                Err(wait) => {
                    let woken = self.changed.wait_timeout(queue, wait);
                    queue = woken.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.lock();
        let changed = change(&mut queue);
        self.waiting.store(queue.len(), Ordering::Relaxed);
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Somebody's place in the queue.
struct Place {
    inner: Arc<Inner>,
    ticket: Ticket,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inner.change(|queue| queue.leave(&self.ticket));
    }
}
