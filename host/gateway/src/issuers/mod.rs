//! Asks issuers of tokens for their keys, again and again, once for the whole process. A thread of its own: workers
//! look at the keys that are there, and say when one is missing.

mod fetch;

use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use limen_config::KeySet as Terms;
use limen_policy::vault::{KeySet, Renewal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};

use crate::client::{Client, Failure};
use crate::thread::spawn;

/// The gateway waits for new key sets before it serves, but for no longer than this.
const FIRST_LOOK: Duration = Duration::from_secs(3);
/// What failed is tried again after this, twice as long each time, up to the other.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Who asks issuers. The thread begins at the first order and ends with the last clone of this.
#[derive(Clone, Default)]
pub struct Issuers(Arc<OnceLock<Option<UnboundedSender<Order>>>>);

/// One whose keys are fetched.
#[derive(Clone)]
pub struct Issuer {
    pub terms: Terms,
    pub keys: Arc<KeySet>,
}

/// From now on these, and no others.
struct Order {
    issuers: Vec<Issuer>,
    /// Dropped when each of them has been asked.
    asked: SyncSender<()>,
}

impl Issuers {
    /// Asks these from now on, and no longer those of the last call. Returns when there are keys of each or it
    /// could not be asked, or after some seconds.
    pub fn ask(&self, issuers: &[Issuer]) {
        if issuers.is_empty() && self.0.get().is_none() {
            return;
        }
        let Some(orders) = self.0.get_or_init(start) else { return };
        let (asked, done) = sync_channel(0);
        if orders.send(Order { issuers: issuers.to_vec(), asked }).is_ok()
            && done.recv_timeout(FIRST_LOOK) == Err(RecvTimeoutError::Timeout)
        {
            tracing::warn!("some issuers of tokens have not answered yet: going on without their keys");
        }
    }
}

fn start() -> Option<UnboundedSender<Order>> {
    let (orders, received) = unbounded_channel();
    let asking = move || {
        let options = tokio::runtime::LocalOptions::default();
        match tokio::runtime::Builder::new_current_thread().enable_all().build_local(options) {
            Ok(runtime) => runtime.block_on(follow(received)),
            Err(error) => tracing::error!("nobody fetches keys: {error}"),
        }
    };
    spawn("limen-issuers", asking)
        .inspect_err(|error| tracing::error!("nobody fetches keys: {error}"))
        .ok()?;
    Some(orders)
}

/// Does what the last order says until there will be no more.
async fn follow(mut orders: UnboundedReceiver<Order>) {
    let mut tasks = JoinSet::new();
    while let Some(Order { issuers, asked }) = orders.recv().await {
        // What was fetched is in the key sets themselves.
        tasks.abort_all();
        tasks = JoinSet::new();
        for issuer in issuers {
            tasks.spawn_local(tend(issuer, asked.clone()));
        }
    }
}

/// Keeps the keys of one issuer up to date. Does not end.
async fn tend(issuer: Issuer, asked: SyncSender<()>) {
    let mut asked = Some(asked);
    let Issuer { terms, keys } = issuer;
    let Some(renewal) = keys.renewal() else { return };
    let mut failures = Failures::default();
    // Keys that were there before this order are renewed when they would have been.
    let due = renewal.due().and_then(|due| due.checked_sub(terms.refresh.mul_f64(0.2)));
    let mut at = due.unwrap_or_else(Instant::now);
    loop {
        if at > Instant::now() {
            drop(asked.take());
        }
        tokio::select! {
            () = sleep_until(at.into()) => {}
            () = renewal.wanted() => {}
        }
        let asking = renewal.begin();
        let late = |_| Failure::passing(format!("no answer within {:?}", terms.timeout));
        let fetched = timeout(terms.timeout, fetch(&terms, renewal)).await.map_err(late).flatten();
        drop(asking);
        drop(asked.take());
        let pause = match fetched {
            Ok(fresh) => {
                failures.end(&terms.name);
                fresh.mul_f64(1.0 - 0.2 * fastrand::f64())
            }
            Err(failure) => {
                renewal.fail();
                failures.add(&terms.name, &failure, renewal).min(terms.refresh)
            }
        };
        at = Instant::now() + pause;
    }
}

/// Puts the keys that an issuer has now in place. Answers how long they are good.
async fn fetch(terms: &Terms, renewal: &Renewal) -> Result<Duration, Failure> {
    let client = Client::new(terms.roots.as_deref())?;
    let fetch::Keys { keys, left_out, fresh } = fetch::fetch(&client, terms).await?;
    let before = renewal.reading().keys;
    let count = renewal.bring(keys, fresh).map_err(|error| Failure::new(error.to_string()))?;
    let key_set = &*terms.name;
    match before == count {
        true => tracing::debug!(key_set, keys = count, left_out, "keys were fetched"),
        false => tracing::info!(key_set, keys = count, left_out, "keys were fetched"),
    }
    Ok(fresh)
}

/// How often in a row an issuer could not be asked.
#[derive(Default)]
struct Failures(u32);

impl Failures {
    /// One more. Answers how long to wait.
    fn add(&mut self, key_set: &str, failure: &Failure, renewal: &Renewal) -> Duration {
        let pause = (AGAIN.0 * 2u32.saturating_pow(self.0.min(16))).min(AGAIN.1);
        self.0 = self.0.saturating_add(1);
        match renewal.reading().age {
            // The first of a row, and then the one that nobody could overlook.
            _ if self.0 > 1 => {
                tracing::debug!(key_set, failures = self.0, "keys can't be fetched: {failure}")
            }
            None => tracing::error!(key_set, "keys can't be fetched, and there are none: {failure}"),
            Some(age) => {
                let age = age.as_secs();
                tracing::warn!(
                    key_set,
                    age,
                    "keys can't be fetched, those that are there serve on: {failure}"
                );
            }
        }
        pause.mul_f64(1.0 - 0.2 * fastrand::f64())
    }

    fn end(&mut self, key_set: &str) {
        if self.0 > 0 {
            tracing::info!(key_set, failures = self.0, "keys can be fetched again");
        }
        self.0 = 0;
    }
}
