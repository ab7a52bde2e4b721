//! Connections that many requests may turn out to share: as few as possible are made.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::upstream::connect::Offer;
use crate::upstream::connect::http2::Http2;
use crate::upstream::failure::{Failure, FailureKind};

use super::{Age, Connection, Kept, Pool, Spoken};

/// A connection that one request makes, and others wait for.
#[derive(Default)]
pub struct Dial {
    ended: Notify,
    /// Why it could not be made.
    failure: RefCell<Option<(FailureKind, String)>>,
}

/// Ends the dial, also where the request that made it is given up: one of those who wait takes over.
struct Dialing<'a> {
    pool: &'a Pool,
    dial: Rc<Dial>,
}

impl Pool {
    /// A place on a connection with room, if there is one.
    pub(super) fn place(self: &Rc<Self>, age: Age) -> Option<Connection> {
        let shared = self.shared.borrow();
        shared.iter().filter(|kept| !kept.connection.is_closed()).find_map(|kept| {
            let place = kept.connection.place()?;
            Some(Connection::http2(self, kept.clone(), place, age))
        })
    }

    /// Opens an HTTP/2 connection to all.
    pub(super) fn share(&self, http2: Http2) {
        let mut shared = self.shared.borrow_mut();
        shared.retain(|kept| !kept.connection.is_closed());
        shared.push(Rc::new(Kept::new(http2)));
    }

    /// Waits for room on a connection that is being made, or makes one.
    pub(super) async fn dial_together(self: &Rc<Self>, limit: Duration) -> Result<Connection, Failure> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(connection) = self.place(Age::Kept) {
                self.tally.reused();
                return Ok(connection);
            }
            if self.spoken.get() == Some(Spoken::Http1) {
                return self
                    .dial(Offer::Configured, deadline.saturating_duration_since(Instant::now()))
                    .await;
            }
            let waits_for = self.dial.borrow().clone();
            if let Some(dial) = waits_for {
                // Nothing is lost between the look and the wait: this worker does one thing at a time.
                let ended = timeout_at(deadline, dial.ended.notified()).await;
                if let Some((kind, reason)) = dial.failure.borrow().clone() {
                    return Err(Failure::new(kind, reason));
                }
                ended.map_err(|_| self.took_too_long(limit))?;
                continue;
            }
            let untold = self.shared.borrow().iter().find(|kept| kept.connection.is_untold()).cloned();
            if let Some(untold) = untold.filter(|kept| !kept.connection.is_closed()) {
                let told = timeout_at(deadline, untold.connection.told()).await;
                told.map_err(|_| self.took_too_long(limit))?;
                continue;
            }
            return self.dial_for_all(deadline).await;
        }
    }

    async fn dial_for_all(self: &Rc<Self>, deadline: Instant) -> Result<Connection, Failure> {
        let dial = Rc::new(Dial::default());
        *self.dial.borrow_mut() = Some(dial.clone());
        let dialing = Dialing { pool: self, dial };
        let limit = deadline.saturating_duration_since(Instant::now());
        self.dial(Offer::Configured, limit).await.inspect_err(|failure| {
            *dialing.dial.failure.borrow_mut() = Some((failure.kind, failure.reason.clone()));
        })
    }

    fn took_too_long(&self, limit: Duration) -> Failure {
        let reason = format!("{} took no connection within {limit:?}", self.endpoint.address);
        Failure::new(FailureKind::ConnectTimeout, reason)
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        self.pool.dial.take();
        self.dial.ended.notify_waiters();
    }
}
