//! Where exchanges queue for an isolate while a worker has more to do than it can: few go in at a time, and
//! those whose upstream has answered come first.
//!
//! An exchange has its isolate from its first hook to its last. A busy worker that gave one to each request as it
//! came would have as many in use as it has requests, and find the memory of none of them in its caches again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::oneshot;
use tokio::task::yield_now;

/// With fewer isolates in use than this, nobody waits.
const FREE: usize = 8;
/// How many go in before the worker looks at its sockets again, however many isolates are in use: upstreams may
/// be slow.
const EACH_TURN: usize = 4;

thread_local! {
    /// That of this worker.
    static TURNSTILE: Rc<RefCell<Turnstile>> = Rc::default();
}

#[derive(Default)]
struct Turnstile {
    /// How many isolates are in use.
    inside: usize,
    /// Who waits, but for the one that leads.
    queue: VecDeque<oneshot::Sender<Go>>,
    is_led: bool,
}

/// The place of an exchange that has an isolate.
pub(crate) struct Inside(Rc<RefCell<Turnstile>>);

enum Go {
    In,
    Lead(Lead),
}

/// Held by the one that waits for the worker's next turn, for all. When it has come, or when that one has gone,
/// those go in whose turn it is, and another one leads.
struct Lead(Rc<RefCell<Turnstile>>);

/// Goes in: at once, or in its turn.
pub(crate) async fn enter() -> Inside {
    let turnstile = TURNSTILE.with(Rc::clone);
    let place = turnstile.borrow_mut().step_up(&turnstile);
    let go = match place {
        Ok(go) => go,
        // Nobody drops a sender: it would be as if there were no queue.
        Err(turn) => turn.await.unwrap_or(Go::In),
    };
    if let Go::Lead(lead) = go {
        yield_now().await;
        drop(lead);
    }
    turnstile.borrow_mut().inside += 1;
    Inside(turnstile)
}

impl Turnstile {
    fn step_up(&mut self, this: &Rc<RefCell<Self>>) -> Result<Go, oneshot::Receiver<Go>> {
        if self.is_led {
            let (sender, turn) = oneshot::channel();
            self.queue.push_back(sender);
            return Err(turn);
        }
        if self.inside < FREE {
            return Ok(Go::In);
        }
        self.is_led = true;
        Ok(Go::Lead(Lead(this.clone())))
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // The one that led goes in as well.
        let mut left = EACH_TURN - 1;
        loop {
            let next = {
                let mut turnstile = self.0.borrow_mut();
                // Whoever has gone meanwhile takes nobody's turn.
                while turnstile.queue.front().is_some_and(oneshot::Sender::is_closed) {
                    turnstile.queue.pop_front();
                }
                let next = turnstile.queue.pop_front();
                turnstile.is_led = next.is_some();
                next
            };
            let Some(next) = next else { return };
            if left == 0 {
                let _ = next.send(Go::Lead(Lead(self.0.clone())));
                return;
            }
            left -= 1;
            let _ = next.send(Go::In);
        }
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
                let _all: Vec<_> = (0..40).map(|_| enters(&inside)).collect();
                let turns = turns(&inside, 40).await;
                assert_eq!(turns.first(), Some(&FREE), "so many at once: {turns:?}");
                assert_eq!(turns.last(), Some(&40), "{turns:?}");
                for pair in turns.windows(2) {
                    assert!(pair[1] - pair[0] <= EACH_TURN, "{turns:?}");
                }
            })
            .await;
    }

    #[tokio::test]
    async fn whoever_goes_holds_up_nobody() {
        LocalSet::new()
            .run_until(async {
                let inside = Rc::<Cell<usize>>::default();
                let all: Vec<_> = (0..40).map(|_| enters(&inside)).collect();
                yield_now().await;
                assert_eq!(inside.get(), FREE);
                // The one that leads, those whose turn is next, and the one that would lead then.
                all.iter().skip(FREE).take(EACH_TURN + 1).for_each(JoinHandle::abort);
                let rest = 40 - EACH_TURN - 1;
                assert_eq!(turns(&inside, rest).await.last(), Some(&rest));
                // Places that come free are had at once.
                all.iter().for_each(JoinHandle::abort);
                yield_now().await;
                yield_now().await;
                let mut entered = std::pin::pin!(enter());
                let mut context = Context::from_waker(Waker::noop());
                assert!(entered.as_mut().poll(&mut context).is_ready());
            })
            .await;
    }
}
