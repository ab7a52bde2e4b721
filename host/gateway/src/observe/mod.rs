//! What operators see: the log, a line for each exchange, metrics, traces.

mod access_log;
mod attempt;
pub mod audit;
mod detail;
pub mod log;
pub mod metrics;
pub mod output;
pub mod trace;
mod watch;

use std::sync::Arc;

use crate::snapshot::Snapshot;

pub use access_log::AccessLog;
use access_log::Recorder;
pub use attempt::{Attempt, Attempts, Notes, Track};
use metrics::{Meters, WorkerMeters};
pub use trace::{TracedTick, Tracer};
pub use watch::{Arrived, End, Last, Told, Watch};

/// Who watches the exchanges of one worker.
pub struct Observers {
    meters: Option<Meters>,
    access_log: Option<Recorder>,
    tracer: Option<Arc<Tracer>>,
}

impl Observers {
    /// Those that a snapshot asks for; none if there is nobody.
    pub fn new(snapshot: &Snapshot, meters: &Arc<WorkerMeters>) -> Option<Self> {
        let meters = snapshot.metrics.then(|| meters.enter(snapshot));
        let access_log = snapshot.access_log.clone().map(Recorder::new);
        let tracer = snapshot.tracer.clone();
        let anybody = meters.is_some() || access_log.is_some() || tracer.is_some();
        anybody.then_some(Observers { meters, access_log, tracer })
    }

    /// Those of what is done beside all exchanges: there is only a trace of it.
    pub fn beside(snapshot: &Snapshot) -> Option<Self> {
        let tracer = snapshot.tracer.clone()?;
        Some(Observers { meters: None, access_log: None, tracer: Some(tracer) })
    }

    /// A plugin ticks; none if nobody traces it.
    pub fn tick(&self, plugin: &str) -> Option<TracedTick> {
        self.tracer.as_ref().map(|tracer| TracedTick::begin(tracer, plugin))
    }
}
