//! What operators see: the log, a line for each exchange, metrics.

pub mod access_log;
pub mod log;
#[allow(dead_code, unused_imports, reason = "the admin listener is to serve it")]
pub mod metrics;
mod watch;

use std::sync::Arc;

use crate::snapshot::Snapshot;

use metrics::{Meters, WorkerMeters};
pub use watch::{Attempt, Attempts, End, Ended, Watch};

/// Who watches the exchanges of one worker.
pub struct Observers {
    meters: Option<Meters>,
    access_log: bool,
}

impl Observers {
    /// Those that a snapshot asks for; none if there is nobody.
    pub fn new(snapshot: &Snapshot, meters: &Arc<WorkerMeters>) -> Option<Self> {
        let meters = snapshot.metrics.then(|| meters.enter(snapshot));
        let access_log = snapshot.access_log;
        (meters.is_some() || access_log).then_some(Observers { meters, access_log })
    }
}
