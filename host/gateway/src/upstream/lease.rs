//! What an exchange holds at its upstream as long as the answer is on its way.

use super::here::Picked;
use super::pool::Connection;

/// The right to be answered by one endpoint. Dropped before the end of the answer, it closes the
/// connection that the rest would come on.
pub struct Lease {
    pub connection: Connection,
    /// Counts as a request under way at its endpoint.
    pub picked: Picked,
}

impl Lease {
    /// To be called at the end of the answer.
    pub fn release(self) {
        let Lease { connection, picked: _ended } = self;
        connection.release();
    }
}
