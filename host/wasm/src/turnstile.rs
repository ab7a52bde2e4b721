//! Where exchanges queue for an isolate while a worker has more to do than it can: few go in at a time, and
//! those whose upstream has answered come first.
//!
//! An exchange has its isolate from its first hook to its last. A busy worker that gave one to each request as it
//! came would have as many in use as it has requests, and find the memory of none of them in its caches again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::task::yield_now;

/// With fewer isolates in use than this, nobody waits: what so many usual ones touch fits into a core's own cache.
const FREE: usize = 64;
/// How many go in before the worker looks at its sockets again, however many isolates are in use: upstreams may
/// be slow.
const EACH_TURN: usize = 16;

thread_local! {
    /// That of this worker.
    static TURNSTILE: Rc<RefCell<Turnstile>> = Rc::default();
}

#[derive(Default)]
struct Turnstile {
    /// How many isolates are in use.
    inside: usize,
    /// Who waits and is to be woken, but for the one that leads; none where one has gone.
    queue: VecDeque<Option<Waker>>,
    /// The number of the first in the queue. Whoever has a lower one was called.
    first: u64,
    /// The number of the one that leads, if anybody does.
    leader: Option<u64>,
}

/// The place of an exchange that has an isolate.
pub(crate) struct Inside(Rc<RefCell<Turnstile>>);

/// The place in the queue of one that waits, until it is called.
struct Turn<'a> {
    turnstile: &'a RefCell<Turnstile>,
    number: u64,
    is_called: bool,
}

/// Held by the one that waits for the worker's next turn, for all. When it has come, or when that one has gone,
/// those go in whose turn it is, and another one leads.
struct Lead<'a>(&'a RefCell<Turnstile>);

/// Goes in, if nobody has to wait.
pub(crate) fn enter_at_once() -> Option<Inside> {
    let turnstile = TURNSTILE.with(Rc::clone);
    let is_open = turnstile.borrow().is_open();
    is_open.then(|| Inside::of(turnstile))
}

/// Goes in: at once, or in its turn.
pub(crate) async fn enter() -> Inside {
    let turnstile = TURNSTILE.with(Rc::clone);
    let number = turnstile.borrow_mut().step_up();
    if let Some(number) = number {
        Turn { turnstile: &turnstile, number, is_called: false }.await;
        if turnstile.borrow().leader == Some(number) {
            let lead = Lead(&turnstile);
            yield_now().await;
            drop(lead);
        }
    }
    Inside::of(turnstile)
}

impl Inside {
    fn of(turnstile: Rc<RefCell<Turnstile>>) -> Self {
        turnstile.borrow_mut().inside += 1;
        Inside(turnstile)
    }
}

impl Turnstile {
    fn is_open(&self) -> bool {
        self.leader.is_none() && self.inside < FREE
    }

    /// The number to wait with; none: it may go in.
    fn step_up(&mut self) -> Option<u64> {
        if self.is_open() {
            return None;
        }
        if self.leader.is_some() {
            self.queue.push_back(Some(Waker::noop().clone()));
            return Some(self.first + self.queue.len() as u64 - 1);
        }
        // It is called already, and leads.
        self.leader = Some(self.first);
        self.first += 1;
        self.leader
    }

    /// Lets the next ones in, and one lead if more wait.
    fn turn(&mut self) {
        // The one that led goes in as well.
        let mut left = EACH_TURN - 1;
        self.leader = None;
        while self.leader.is_none()
            && let Some(next) = self.queue.pop_front()
        {
            let number = self.first;
            self.first += 1;
            // Whoever has gone meanwhile takes nobody's turn.
            let Some(waker) = next else { continue };
            match left.checked_sub(1) {
                Some(fewer) => left = fewer,
                None => self.leader = Some(number),
            }
            waker.wake();
        }
    }

    /// The place of one that was not called yet.
    fn place(&mut self, number: u64) -> Option<&mut Option<Waker>> {
        let place = number.checked_sub(self.first)?;
        self.queue.get_mut(usize::try_from(place).ok()?)
    }
}

impl Future for Turn<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let turnstile = self.turnstile;
        match turnstile.borrow_mut().place(self.number) {
            None => {
                self.is_called = true;
                Poll::Ready(())
            }
            Some(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_called {
            return;
        }
        let mut turnstile = self.turnstile.borrow_mut();
        if let Some(waker) = turnstile.place(self.number) {
            *waker = None;
        } else if turnstile.leader == Some(self.number) {
            // It was called to lead, and does not know yet.
            turnstile.turn();
        }
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.borrow_mut().turn();
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let mut turnstile = self.0.borrow_mut();
        turnstile.inside = turnstile.inside.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::task::{Context, Waker};

    use tokio::task::{JoinHandle, LocalSet, spawn_local};

    use super::*;

    /// So many that they go in at the first turn, at a second one and at a third.
    const ALL: usize = FREE + EACH_TURN + 8;

    /// Until all that were spawned have come: a `LocalSet` lets 61 of its tasks run before it looks up.
    async fn all_have_come() {
        yield_now().await;
        yield_now().await;
    }

    /// One that stays inside once it is there.
    fn enters(inside: &Rc<Cell<usize>>) -> JoinHandle<()> {
        let inside = inside.clone();
        spawn_local(async move {
            let place = enter().await;
            inside.set(inside.get() + 1);
            std::future::pending::<()>().await;
            drop(place);
        })
    }

    /// How many are inside after each of the worker's turns, until nobody waits.
    async fn turns(inside: &Cell<usize>, all: usize) -> Vec<usize> {
        let mut turns = Vec::new();
        while inside.get() < all && turns.len() < 1_000 {
            yield_now().await;
            turns.push(inside.get());
        }
        turns
    }

    #[tokio::test]
    async fn few_go_in_at_a_turn_and_all_in_the_end() {
        LocalSet::new()
            .run_until(async {
                let inside = Rc::<Cell<usize>>::default();
                let _all: Vec<_> = (0..ALL).map(|_| enters(&inside)).collect();
                all_have_come().await;
                assert_eq!(inside.get(), FREE, "so many at once");
                let turns = turns(&inside, ALL).await;
                assert_eq!(turns.last(), Some(&ALL), "{turns:?}");
                for (before, after) in std::iter::once(&FREE).chain(&turns).zip(&turns) {
                    assert!(after - before <= EACH_TURN, "{turns:?}");
                }
            })
            .await;
    }

    #[test]
    fn whoever_goes_when_called_to_lead_lets_another_one() {
        let mut context = Context::from_waker(Waker::noop());
        let all =
            (0..FREE + EACH_TURN + 3).map(|_| Box::pin(enter()) as Pin<Box<dyn Future<Output = Inside>>>);
        let mut all: Vec<_> = all.collect();
        let mut places = Vec::new();
        let mut poll = |one: &mut Pin<Box<dyn Future<Output = Inside>>>| {
            if let Poll::Ready(place) = one.as_mut().poll(&mut context) {
                places.push(place);
            }
        };
        all.iter_mut().for_each(&mut poll);
        let mut waiting = all.split_off(FREE);
        // The first of them led, and lets the next ones in. Then comes the one that is called to lead after it.
        poll(&mut waiting[0]);
        drop(waiting.remove(EACH_TURN));
        waiting[1..].iter_mut().for_each(&mut poll);
        assert_eq!(places.len(), FREE + EACH_TURN + 2);
    }

    #[tokio::test]
    async fn whoever_goes_holds_up_nobody() {
        LocalSet::new()
            .run_until(async {
                let inside = Rc::<Cell<usize>>::default();
                let all: Vec<_> = (0..ALL).map(|_| enters(&inside)).collect();
                all_have_come().await;
                assert_eq!(inside.get(), FREE);
                // The one that leads, those whose turn is next, and the one that would lead then.
                all.iter().skip(FREE).take(EACH_TURN + 1).for_each(JoinHandle::abort);
                let rest = ALL - EACH_TURN - 1;
                assert_eq!(turns(&inside, rest).await.last(), Some(&rest));
                // Places that come free are had at once.
                all.iter().for_each(JoinHandle::abort);
                all_have_come().await;
                let mut entered = std::pin::pin!(enter());
                let mut context = Context::from_waker(Waker::noop());
                assert!(entered.as_mut().poll(&mut context).is_ready());
            })
            .await;
    }
}
