//! What an exchange holds at its upstream as long as the answer is on its way.

use super::here::Picked;
use super::pool::Connection;
use super::resilience::Permit;

/// The right to be answered by one endpoint. Dropped before the end of the answer, it closes the
/// connection that the rest would come on.
pub struct Lease {
    connection: Connection,
    /// Counts as a request under way at its endpoint.
    picked: Picked,
    /// Where the upstream's requests are limited.
    permit: Option<Permit>,
}

impl Lease {
    pub fn new(connection: Connection, picked: Picked) -> Self {
        Lease { connection, picked, permit: None }
    }

    /// Holds the right to be under way for as long as it lasts.
    pub fn hold(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// To be called at the end of the answer.
    pub fn release(self) {
        let Lease { connection, picked: _ended, permit: _given_back } = self;
        connection.release();
    }
}
