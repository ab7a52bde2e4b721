//! The right to have a request under way: so many at a time, by all workers together, and a fair,
//! bounded queue of those that wait for one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The permits of an upstream. Taking one and giving it back are single atomic steps as long as
/// nobody waits; the lock is the queue's.
pub struct Permits {
    limit: AtomicUsize,
    longest_queue: AtomicUsize,
    taken: AtomicUsize,
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    next_ticket: u64,
    /// In the order of their tickets.
    waiters: VecDeque<(u64, oneshot::Sender<Permit>)>,
}

/// The right to have one request under way; given back when dropped.
pub struct Permit(Arc<Permits>);

/// A place in the queue; left when dropped.
struct Place<'a> {
    permits: &'a Permits,
    ticket: u64,
}

/// Neither a permit nor a place in the queue.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Permits {
    pub fn new(limit: usize, longest_queue: usize) -> Self {
        Permits {
            limit: limit.into(),
            longest_queue: longest_queue.into(),
            taken: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
        }
    }

    /// Changes the limits. Those that are under way stay so.
    pub fn set(self: &Arc<Self>, limit: usize, longest_queue: usize) {
        self.limit.store(limit, Ordering::SeqCst);
        self.longest_queue.store(longest_queue, Ordering::SeqCst);
        self.serve(&mut self.queue());
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A permit, if there is one that nobody waits for.
    pub fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            return None;
        }
        self.take()
    }

    /// A permit, if need be when its turn has come. Dropped half-way, it leaves nothing behind.
    pub async fn acquire(self: &Arc<Self>) -> Result<Permit, Full> {
        if let Some(permit) = self.try_acquire() {
            return Ok(permit);
        }
        if self.waiting.load(Ordering::SeqCst) >= self.longest_queue.load(Ordering::SeqCst) {
            return Err(Full);
        }
        let (sender, turn) = oneshot::channel();
        let place = self.queue_up(sender)?;
        // The sender is dropped only with the permits, which we hold.
        let permit = turn.await.map_err(|_| Full)?;
        // Who served it took it out of the queue.
        std::mem::forget(place);
        Ok(permit)
    }

    fn queue_up(self: &Arc<Self>, sender: oneshot::Sender<Permit>) -> Result<Place<'_>, Full> {
        let mut queue = self.queue();
        if queue.waiters.len() >= self.longest_queue.load(Ordering::SeqCst) {
            return Err(Full);
        }
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiters.push_back((ticket, sender));
        self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        // Whoever gives one back from now on sees that somebody waits; who did so before, did not.
        self.serve(&mut queue);
        Ok(Place { permits: self, ticket })
    }

    fn take(self: &Arc<Self>) -> Option<Permit> {
        let limit = self.limit.load(Ordering::SeqCst);
        let more = |taken| (taken < limit).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Permit(self.clone()))
    }

    /// Hands out what is free to those that have waited longest.
    fn serve(self: &Arc<Self>, queue: &mut Queue) {
        let mut free = None;
        while !queue.waiters.is_empty() {
            let Some(permit) = free.take().or_else(|| self.take()) else { break };
            if let Some((_, waiter)) = queue.waiters.pop_front() {
                // Who has just gone leaves it to the next.
                free = waiter.send(permit).err();
            }
        }
        self.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        // What is left over now is dropped while nobody waits, and so without the lock that we hold.
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Permit(permits) = self;
        permits.taken.fetch_sub(1, Ordering::SeqCst);
        if permits.waiting.load(Ordering::SeqCst) > 0 {
            permits.serve(&mut permits.queue());
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut queue = self.permits.queue();
        if let Ok(at) = queue.waiters.binary_search_by_key(&self.ticket, |(ticket, _)| *ticket) {
            queue.waiters.remove(at);
            self.permits.waiting.store(queue.waiters.len(), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn first_come_first_served() {
        let permits = Arc::new(Permits::new(1, 2));
        let first = permits.try_acquire().unwrap();
        assert!(permits.try_acquire().is_none());
        let (mut second, mut third) = (pin!(permits.acquire()), pin!(permits.acquire()));
        assert!(poll(second.as_mut()).is_pending() && poll(third.as_mut()).is_pending());
        assert_eq!((permits.taken(), permits.waiting()), (1, 2));
        assert!(matches!(poll(pin!(permits.acquire())), Poll::Ready(Err(Full))));

        drop(first);
        assert!(permits.try_acquire().is_none(), "it belongs to who waits");
        assert!(poll(third.as_mut()).is_pending());
        let Poll::Ready(Ok(second)) = poll(second.as_mut()) else { panic!() };
        drop(second);
        assert!(matches!(poll(third.as_mut()), Poll::Ready(Ok(_))));
        assert_eq!((permits.taken(), permits.waiting()), (0, 0));
    }

    #[test]
    fn who_goes_away_leaves_nothing_behind() {
        let permits = Arc::new(Permits::new(1, 9));
        let first = permits.try_acquire().unwrap();
        let (mut served, mut gone) = (Box::pin(permits.acquire()), Box::pin(permits.acquire()));
        let mut last = pin!(permits.acquire());
        assert!(poll(served.as_mut()).is_pending() && poll(gone.as_mut()).is_pending());
        assert!(poll(last.as_mut()).is_pending());
        drop(gone);
        assert_eq!(permits.waiting(), 2);
        drop(first);
        // It was served and never looked.
        drop(served);
        assert!(matches!(poll(last.as_mut()), Poll::Ready(Ok(_))));
        assert_eq!((permits.taken(), permits.waiting()), (0, 0));
    }

    #[test]
    fn a_higher_limit_serves_those_that_wait() {
        let permits = Arc::new(Permits::new(1, 9));
        let _first = permits.try_acquire().unwrap();
        let mut second = pin!(permits.acquire());
        assert!(poll(second.as_mut()).is_pending());
        permits.set(2, 0);
        assert!(matches!(poll(second.as_mut()), Poll::Ready(Ok(_))));
        permits.set(1, 0);
        assert!(matches!(poll(pin!(permits.acquire())), Poll::Ready(Err(Full))));
    }

    /// Many threads that take, wait, give up and give back: never more than the limit, and in the end none.
    #[test]
    fn never_one_too_many() {
        const LIMIT: usize = 10;
        let permits = Arc::new(Permits::new(LIMIT, 1000));
        let most = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for seed in 0..4 {
                let (permits, most) = (permits.clone(), &most);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let mut held = Vec::new();
                    for _ in 0..20_000 {
                        let mut asked = Box::pin(permits.acquire());
                        if let Poll::Ready(Ok(permit)) = poll(asked.as_mut()) {
                            held.push(permit);
                        }
                        most.fetch_max(permits.taken(), Ordering::Relaxed);
                        if random.bool() && !held.is_empty() {
                            held.swap_remove(random.usize(..held.len()));
                        }
                    }
                });
            }
        });
        assert!(most.into_inner() <= LIMIT);
        assert_eq!((permits.taken(), permits.waiting()), (0, 0));
    }
}
