//! The hook that is called beside all exchanges, now and then.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderValue;
use limen_policy::{Exchange, Failure, Fetch, Phase, RouteFacts};

use crate::account::Account;
use crate::keeper::Hook;
use crate::pool::IsolatePool;

/// Calls it, for all attachments with the same settings, each time in an isolate of its own.
#[derive(Clone)]
pub struct Ticker {
    pool: Arc<IsolatePool>,
    account: Arc<Account>,
}

impl Ticker {
    pub(crate) fn new(pool: Arc<IsolatePool>, account: Arc<Account>) -> Self {
        Ticker { pool, account }
    }

    /// Whether it stands for the same component with the same settings, grants and limits.
    pub fn is_same(&self, other: &Ticker) -> bool {
        Arc::ptr_eq(&self.pool, &other.pool)
    }

    /// What all ticks of its plugin have used.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// One call, within the limits of a hook, if its plugin is not held back. `fetch` sends the calls that
    /// it makes, with this `traceparent`.
    pub async fn tick(
        &self,
        fetch: Option<Arc<dyn Fetch>>,
        parent: Option<HeaderValue>,
    ) -> Result<(), Failure> {
        let ticked = self.ask(fetch, parent).await;
        ticked.inspect_err(|failure| self.account.failed(failure.kind))
    }

    async fn ask(&self, fetch: Option<Arc<dyn Fetch>>, parent: Option<HeaderValue>) -> Result<(), Failure> {
        let IsolatePool { image, limits, grounds, .. } = &*self.pool;
        let permit = grounds.keeper.admit(limits, Instant::now())?;
        self.account.made_isolate();
        let mut isolate = self.pool.make().await?;
        let route = Arc::new(RouteFacts { fetch, ..RouteFacts::default() });
        let mut exchange = Box::<Exchange>::default();
        exchange.route = route;
        if let Some(parent) = parent {
            exchange.request.headers_mut().insert("traceparent", parent);
        }
        // As at the end of an exchange, there is nothing to be changed.
        exchange.enter(Phase::Log, 0);
        let (answer, used) = isolate.tick(image, &mut exchange, limits).await;
        let used = used + isolate.take_making();
        self.account.called(used, isolate.memory_peak(), isolate.take_host_calls());
        let bad = answer.as_ref().is_err_and(|failure| failure.kind.is_its_fault());
        grounds.keeper.record(&permit, Hook::Deciding, bad, used, limits);
        answer
    }
}
