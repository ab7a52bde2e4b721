//! The right to have a connection open: so many at a time, by all workers together. Connections that
//! nobody uses give way to those that are needed elsewhere.

use std::sync::Arc;
use std::time::Duration;

use limen_config::UpstreamLimits;
use tokio::sync::Notify;

use super::permit::{Permit, Permits};

pub struct Slots {
    permits: Arc<Permits>,
    wanted: Notify,
    limit: usize,
    wait: Duration,
}

impl Slots {
    /// None if there is no limit. Those that are open count on after a reload.
    pub fn new(limits: &UpstreamLimits, previous: Option<&Slots>) -> Option<Self> {
        let limit = limits.connections?;
        // Without a queue there still is one of those for whom an idle connection has to go first.
        let queue = limits.queue.max(limit);
        let permits = match previous {
            Some(previous) => previous.permits.clone(),
            None => Arc::new(Permits::new(limit, queue)),
        };
        permits.set(limit, queue);
        Some(Slots { permits, wanted: Notify::new(), limit, wait: limits.queue_wait })
    }

    /// A slot that is free.
    pub fn try_acquire(&self) -> Option<Permit> {
        self.permits.try_acquire()
    }

    /// A slot when its turn has come, or why there is none.
    pub async fn acquire(&self, limit: Duration) -> Result<Permit, String> {
        let wait = self.wait.min(limit);
        let turn = self.permits.acquire();
        self.wanted.notify_waiters();
        match tokio::time::timeout(wait, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(format!("{} connections are open, and as many requests wait", self.limit)),
            Err(_) => Err(format!("{} connections are open, and none came free within {wait:?}", self.limit)),
        }
    }

    /// Whether somebody waits for one.
    pub fn are_wanted(&self) -> bool {
        self.permits.waiting() > 0
    }

    /// Calls this whenever somebody begins to wait, until it answers none.
    pub async fn whenever_wanted(&self, mut give_way: impl FnMut() -> Option<()>) {
        let mut wanted = self.wanted.notified();
        loop {
            wanted.await;
            // Made before the look, so that nobody is missed who comes during it.
            wanted = self.wanted.notified();
            if give_way().is_none() {
                return;
            }
        }
    }
}
