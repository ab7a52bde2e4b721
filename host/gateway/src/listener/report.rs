//! Lines in the log about refused connections.

use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use super::{Terms, Trouble};

impl Terms {
    /// Counts what happened to a connection, and tells the log.
    pub fn report(&self, trouble: Trouble, client: SocketAddr, reason: impl fmt::Display) {
        self.shared.counters.count(trouble);
        let Some(left_out) = self.shared.reports.begin(Instant::now()) else { return };
        let (listener, why) = (&*self.name, trouble.name());
        if left_out == 0 {
            tracing::info!(listener, %client, why, "refused: {reason}");
        } else {
            tracing::info!(listener, %client, why, left_out, "refused: {reason}");
        }
    }
}
