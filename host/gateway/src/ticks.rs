//! Plugins that are called beside all exchanges, on a thread of their own: a worker that nobody waits for.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limen_policy::Failure;
use limen_wasm::{Counted, Ticker};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::edition::Edition;
use crate::observe::TracedTick;
use crate::snapshot::Snapshot;
use crate::upstream::Pools;
use crate::worker::World;

/// How often the failures of one plugin are told; those between are counted.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How often connections that have been idle for too long are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(2);

/// Calls what ticks, until the gateway drains. `number` is that of a worker that there is not.
pub fn run(editions: watch::Receiver<Edition>, number: usize) {
    limen_wasm::set_worker(number);
    let options = tokio::runtime::LocalOptions::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(options);
    match runtime {
        Ok(runtime) => runtime.block_on(follow(editions, number)),
        Err(error) => tracing::error!("plugins don't tick, there is no runtime for it: {error}"),
    }
}

async fn follow(mut editions: watch::Receiver<Edition>, number: usize) {
    let pools = Rc::<Pools>::default();
    let mut running: Vec<Running> = Vec::new();
    let mut pruning = tokio::time::interval(PRUNE_EVERY);
    loop {
        let edition = editions.borrow_and_update().clone();
        if edition.stage.is_draining() {
            return;
        }
        running = enter(edition.snapshot, running, &pools, number);
        pools.tend();
        loop {
            tokio::select! {
                changed = editions.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                _ = pruning.tick(), if !running.is_empty() => pools.tend(),
            }
        }
    }
}

/// Goes on with what is the same in this snapshot, and begins what is new; the rest ends.
fn enter(
    snapshot: Arc<Snapshot>,
    mut before: Vec<Running>,
    pools: &Rc<Pools>,
    number: usize,
) -> Vec<Running> {
    if snapshot.plugins.values().all(|plugin| plugin.tickers.is_empty()) {
        return Vec::new();
    }
    let world = World::beside(snapshot, pools, number);
    let mut now = Vec::new();
    for (name, plugin) in &world.snapshot.plugins {
        for ticker in &plugin.tickers {
            let same = before.iter().position(|it| it.ticker.is_same(ticker) && it.period == plugin.tick);
            now.push(match same {
                Some(place) => before.swap_remove(place).moved_to(&world),
                None => Running::begin(name, ticker, plugin.tick, &plugin.counted, &world),
            });
        }
    }
    now
}

/// One that goes on as long as a snapshot has it. Dropping it ends it, in the middle of a call if need be.
struct Running {
    ticker: Ticker,
    period: Duration,
    /// Whose upstreams it calls from the next time on.
    world: Rc<RefCell<Rc<World>>>,
    task: JoinHandle<()>,
}

impl Running {
    fn begin(
        name: &str,
        ticker: &Ticker,
        period: Duration,
        counted: &Arc<Counted>,
        world: &Rc<World>,
    ) -> Self {
        let world = Rc::new(RefCell::new(world.clone()));
        let task = again_and_again(name.to_owned(), ticker.clone(), period, counted.clone(), world.clone());
        Running { ticker: ticker.clone(), period, world, task: tokio::task::spawn_local(task) }
    }

    fn moved_to(self, world: &Rc<World>) -> Self {
        self.world.replace(world.clone());
        self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn again_and_again(
    name: String,
    ticker: Ticker,
    period: Duration,
    counted: Arc<Counted>,
    world: Rc<RefCell<Rc<World>>>,
) {
    let mut failures = Failures::default();
    loop {
        // Its calls end in the world that they began in.
        let here = world.borrow().clone();
        let traced = here.observers.as_ref().and_then(|observers| observers.tick(&name));
        let parent = traced.as_ref().and_then(TracedTick::parent);
        let result = ticker.tick(here.fetch(), parent).await;
        if let Some(traced) = traced {
            traced.end(result.as_ref().copied());
        }
        drop(here);
        counted.ticked(result.is_ok());
        if let Err(failure) = result {
            failures.tell(&name, &failure);
        }
        tokio::time::sleep(period.mul_f64(0.9 + 0.2 * fastrand::f64())).await;
    }
}

/// What the log was told of one plugin's failures.
#[derive(Default)]
struct Failures {
    last: Option<Instant>,
    left_out: u64,
}

impl Failures {
    fn tell(&mut self, plugin: &str, failure: &Failure) {
        if self.last.is_some_and(|last| last.elapsed() < TELL_EVERY) {
            self.left_out += 1;
            return;
        }
        let left_out = std::mem::take(&mut self.left_out);
        self.last = Some(Instant::now());
        tracing::warn!(plugin, left_out, "its tick failed: {failure}");
    }
}
