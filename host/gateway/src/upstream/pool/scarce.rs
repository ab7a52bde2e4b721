//! Connections of an upstream that may have only so many: those that nobody uses give way, and whoever
//! waits takes what comes free first.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::upstream::connect::http1::Http1;
use crate::upstream::failure::{Failure, FailureKind};
use crate::upstream::resilience::{Permit, Slots};

use super::{Kept, Pool};

pub struct Scarce {
    /// A connection of this very pool has come free.
    pub freed: Notify,
    waiting: Cell<usize>,
    giving_way: AbortHandle,
}

/// What a request that needs a connection gets.
pub enum Turn {
    /// The right to open one.
    Open(Permit),
    Kept(Kept<Http1>),
}

/// One of those that wait, until it is dropped.
struct Waiting<'a>(&'a Cell<usize>);

impl Scarce {
    pub fn new(slots: &Arc<Slots>, pool: &Weak<Pool>) -> Self {
        let (slots, pool) = (slots.clone(), pool.clone());
        let task = tokio::task::spawn_local(async move {
            slots.whenever_wanted(|| pool.upgrade().map(|pool| pool.give_way())).await;
        });
        Scarce { freed: Notify::new(), waiting: Cell::new(0), giving_way: task.abort_handle() }
    }
}

impl Drop for Scarce {
    fn drop(&mut self) {
        self.giving_way.abort();
    }
}

impl Pool {
    /// Waits until a connection may be opened, or one of this pool's own is free.
    pub(super) async fn turn(self: &Rc<Self>, slots: &Slots, limit: Duration) -> Result<Turn, Failure> {
        if let Some(slot) = slots.try_acquire() {
            return Ok(Turn::Open(slot));
        }
        let Some(scarce) = &self.scarce else { return Err(Failure::new(FailureKind::Full, "no slots")) };
        let _waiting = Waiting::new(&scarce.waiting);
        let mut slot = std::pin::pin!(slots.acquire(limit));
        loop {
            tokio::select! {
                biased;
                slot = slot.as_mut() => {
                    return slot.map(Turn::Open).map_err(|why| {
                        Failure::new(FailureKind::Full, format!("{}: {why}", self.endpoint.address))
                    });
                }
                () = scarce.freed.notified() => {
                    if let Some(mut kept) = self.pop()
                        && kept.is_soon_ready().await
                    {
                        self.tally.reused();
                        return Ok(Turn::Kept(kept));
                    }
                }
            }
        }
    }

    /// Whether somebody here waits for a connection to come free.
    pub(super) fn is_awaited(&self) -> bool {
        self.scarce.as_ref().is_some_and(|scarce| scarce.waiting.get() > 0)
    }

    /// Closes a connection that nobody uses.
    fn give_way(&self) {
        if self.is_awaited() {
            return;
        }
        if self.pop().is_none() {
            let mut shared = self.shared.borrow_mut();
            if let Some(at) = shared.iter().position(|kept| kept.connection.under_way() == 0) {
                shared.swap_remove(at);
            }
        }
    }
}

impl<'a> Waiting<'a> {
    fn new(count: &'a Cell<usize>) -> Self {
        count.update(|count| count + 1);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.update(|count| count.saturating_sub(1));
    }
}
