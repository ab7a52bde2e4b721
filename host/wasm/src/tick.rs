//! The hook that is called beside all exchanges, now and then.

use std::sync::Arc;

use limen_policy::{Exchange, Failure, FailureKind, Fetch, Phase, RouteFacts};

use crate::pool::IsolatePool;

/// Calls it, for all attachments with the same settings, each time in an isolate of its own.
#[derive(Clone)]
pub struct Ticker {
    pool: Arc<IsolatePool>,
}

impl Ticker {
    pub(crate) fn new(pool: Arc<IsolatePool>) -> Self {
        Ticker { pool }
    }

    /// Whether it stands for the same component with the same settings, grants and limits.
    pub fn is_same(&self, other: &Ticker) -> bool {
        Arc::ptr_eq(&self.pool, &other.pool)
    }

    /// One call, within the limits of a hook. `fetch` sends the calls that it makes.
    pub async fn tick(&self, fetch: Option<Arc<dyn Fetch>>) -> Result<(), Failure> {
        let IsolatePool { image, limits, .. } = &*self.pool;
        let Some(hook) = image.exports.tick else { return Ok(()) };
        let mut isolate = self.pool.make().await?;
        let route = Arc::new(RouteFacts { fetch, ..RouteFacts::default() });
        let mut exchange = Box::<Exchange>::default();
        exchange.route = route;
        // As at the end of an exchange, there is nothing to be changed.
        exchange.enter(Phase::Log, 0);
        isolate
            .tick(hook, &mut exchange, limits)
            .await?
            .map_err(|reason| Failure::new(FailureKind::Failed, reason))
    }
}
