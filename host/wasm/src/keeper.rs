//! Who holds a plugin to what all its isolates together may use: how many there are at a time, how much
//! of a worker's time they take, how often they may fail, how much they may write to the log.
//!
//! There is one for each version of a plugin. Whoever is refused here gets its `on_error` at once, and no
//! isolate is made for it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use limen_config::PluginLimits;
use limen_policy::{Failure, FailureKind, Phase, Thinned};

use crate::breaker::{Admitted, Breaker, Change};
use crate::epochs::TICK;
use crate::pool::worker;

/// What a share is a share of.
const WINDOW: Duration = Duration::from_secs(1);
/// After a hook that computed for longer than a tick, so many have a stack of their own, so that their worker can do
/// something else in between.
const AFTER_LONG: u32 = 1000;

pub struct Keeper {
    plugin: Arc<str>,
    /// One per worker, and one for the thread that ticks.
    desks: Box<[Arc<Desk>]>,
    workers: usize,
    log: Mutex<LogWindow>,
    log_dropped: AtomicU64,
    /// The lines about hooks that wrote more than one may.
    floods: Thinned,
    /// How many hooks are still to be called so that they can give way. All workers read it, and few ever write it.
    giving_way: AtomicU32,
}

/// What one worker knows of a plugin's conduct: a lock that nobody else takes, but for a scrape.
#[repr(align(128))]
#[derive(Default)]
struct Desk(Mutex<Conduct>);

#[derive(Default)]
struct Conduct {
    in_use: usize,
    breaker: Breaker,
    /// That of its log hook, which nobody is refused for.
    log_breaker: Breaker,
    /// When the second began that `used` was used in.
    since: Option<Instant>,
    used: Duration,
    /// Whether this second's share is used up, and whether the last one's was.
    over: bool,
    was_over: bool,
    /// When the log was last told that there is no isolate for it.
    told_full: Option<Instant>,
}

/// How a plugin stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Isolates in use.
    pub in_use: usize,
    /// Workers whose breaker is not closed, that of the log hook left out; the thread that ticks is one as well.
    pub held_back: usize,
    /// Lines of its log that were dropped.
    pub log_dropped: u64,
}

/// The right of one exchange to have an isolate.
pub(crate) struct Permit {
    desk: Option<Arc<Desk>>,
    as_probe: bool,
    /// The same of its log hook.
    as_log_probe: bool,
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hook {
    /// One that requests, or what they go by, depend on.
    Deciding,
    /// The one that looks back.
    Log,
}

impl Hook {
    pub(crate) fn of(phase: Phase) -> Self {
        if phase == Phase::Log { Hook::Log } else { Hook::Deciding }
    }
}

/// One second of the log.
#[derive(Default)]
struct LogWindow {
    since: Option<Instant>,
    lines: usize,
    bytes: usize,
    dropped: u64,
}

impl Keeper {
    pub(crate) fn new(plugin: &str, workers: usize) -> Self {
        Keeper {
            plugin: plugin.into(),
            desks: (0..=workers).map(|_| Arc::default()).collect(),
            workers,
            log: Mutex::default(),
            log_dropped: AtomicU64::new(0),
            floods: Thinned::default(),
            giving_way: AtomicU32::new(0),
        }
    }

    pub(crate) fn plugin(&self) -> &Arc<str> {
        &self.plugin
    }

    pub fn standing(&self) -> Standing {
        let mut standing =
            Standing { log_dropped: self.log_dropped.load(Ordering::Relaxed), ..Standing::default() };
        for desk in &self.desks {
            let conduct = desk.lock();
            standing.in_use += conduct.in_use;
            standing.held_back += usize::from(!conduct.breaker.is_closed());
        }
        standing
    }

    /// Lets an exchange have an isolate, or says why not.
    pub(crate) fn admit(&self, limits: &PluginLimits, now: Instant) -> Result<Permit, Failure> {
        // Who is no worker loads.
        let Some(desk) = worker().and_then(|worker| self.desks.get(worker)) else {
            return Ok(Permit { desk: None, as_probe: false, as_log_probe: false });
        };
        let mut conduct = desk.lock();
        let part = limits.isolates.div_ceil(self.workers.max(1));
        if conduct.in_use >= part {
            drop(conduct);
            let all = limits.isolates;
            let reason = format!("this worker's part of `limits.isolates`, {part} of {all}, is in use");
            let failure = Failure::new(FailureKind::NoIsolate, reason);
            self.note_full(&failure);
            return Err(failure);
        }
        if conduct.is_over(now, limits, &self.plugin) {
            return Err(held_back("it has used up its `limits.share` of this worker's time"));
        }
        let Some(admitted) = conduct.breaker.admit(now) else {
            return Err(held_back("it failed too often: its breaker is open"));
        };
        conduct.in_use += 1;
        drop(conduct);
        let as_probe = admitted == Admitted::AsProbe;
        Ok(Permit { desk: Some(desk.clone()), as_probe, as_log_probe: false })
    }

    /// Lets an exchange that has an isolate ask the log hook, or says why not.
    pub(crate) fn admit_log(&self, permit: &mut Permit) -> Result<(), Failure> {
        let Some(desk) = &permit.desk else { return Ok(()) };
        let Some(admitted) = desk.lock().log_breaker.admit(Instant::now()) else {
            return Err(held_back("its log hook failed too often: the hook's breaker is open"));
        };
        permit.as_log_probe = admitted == Admitted::AsProbe;
        Ok(())
    }

    /// There was no isolate: said once a second at most.
    pub(crate) fn note_full(&self, failure: &Failure) {
        let Some(desk) = worker().and_then(|worker| self.desks.get(worker)) else { return };
        let (mut conduct, now) = (desk.lock(), Instant::now());
        if conduct.told_full.is_none_or(|at| now.duration_since(at) >= WINDOW) {
            conduct.told_full = Some(now);
            drop(conduct);
            let plugin = &*self.plugin;
            tracing::warn!(plugin, "not asked: {failure}");
        }
    }

    /// Whether the next hook is to be called so that it can give way to other work of its worker.
    pub(crate) fn gives_way(&self) -> bool {
        self.giving_way.load(Ordering::Relaxed) > 0
    }

    /// A hook has computed for so long.
    fn note_length(&self, used: Duration) {
        if used >= TICK {
            self.giving_way.store(AFTER_LONG, Ordering::Relaxed);
        } else if self.gives_way() {
            let fewer = |left: u32| left.checked_sub(1);
            // It fails where another worker was quicker to count the last one.
            let _ = self.giving_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        }
    }

    /// A call has ended, badly or not, after so much computing. What its log hook does is no reason to refuse anybody.
    pub(crate) fn record(
        &self,
        permit: &Permit,
        hook: Hook,
        bad: bool,
        used: Duration,
        limits: &PluginLimits,
    ) {
        self.note_length(used);
        let Some(desk) = &permit.desk else { return };
        let mut conduct = desk.lock();
        conduct.used += used;
        let (breaker, as_probe, what) = match hook {
            Hook::Deciding => (&mut conduct.breaker, permit.as_probe, ""),
            Hook::Log => (&mut conduct.log_breaker, permit.as_log_probe, "its log hook is "),
        };
        let change = match bad || as_probe || breaker.is_closed() {
            true => breaker.record(bad.then(Instant::now), as_probe, used, &limits.breaker),
            false => None,
        };
        drop(conduct);
        let (plugin, worker) = (&*self.plugin, worker());
        match change {
            None => {}
            Some(Change::Opened { because, pause }) => {
                tracing::warn!(plugin, worker, "{what}held back for {pause:?}: {because}");
            }
            Some(Change::Closed) => tracing::info!(plugin, worker, "{what}asked again: it works"),
        }
    }

    /// Whether the plugin may write another line of so many bytes; if not, it is counted.
    pub(crate) fn may_log(&self, bytes: usize, limits: &PluginLimits) -> bool {
        let now = Instant::now();
        let mut window = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        if window.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            let dropped = window.dropped;
            *window = LogWindow { since: Some(now), ..LogWindow::default() };
            if dropped > 0 {
                let plugin = &*self.plugin;
                tracing::warn!(target: "policy", plugin, "{dropped} lines beyond `limits.log_lines` or `limits.log_bytes` were dropped");
            }
        }
        let fits =
            window.lines < limits.log_lines && window.bytes.saturating_add(bytes) as u64 <= limits.log_bytes;
        if fits {
            window.lines += 1;
            window.bytes += bytes;
        } else {
            window.dropped += 1;
            self.log_dropped.fetch_add(1, Ordering::Relaxed);
        }
        fits
    }

    /// Counts lines beyond what one hook may write.
    pub(crate) fn dropped(&self, lines: usize) {
        self.log_dropped.fetch_add(lines as u64, Ordering::Relaxed);
    }

    /// A hook wrote more than one may. Whether the log is to be told, and of how many others it was not.
    pub(crate) fn flooded(&self) -> Option<u64> {
        self.floods.begin(Instant::now())
    }
}

fn held_back(reason: &str) -> Failure {
    Failure::new(FailureKind::HeldBack, reason)
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Conduct> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conduct {
    /// Whether the plugin has had its share of this second.
    fn is_over(&mut self, now: Instant, limits: &PluginLimits, plugin: &str) -> bool {
        if self.since.is_none_or(|since| now.duration_since(since) >= WINDOW) {
            (self.since, self.used) = (Some(now), Duration::ZERO);
            (self.was_over, self.over) = (self.over, false);
        }
        if limits.share >= 100 || self.used * 100 < WINDOW * u32::try_from(limits.share).unwrap_or(100) {
            return false;
        }
        if !self.over && !self.was_over {
            let share = limits.share;
            tracing::warn!(plugin, "held back: it has used {share} % of a worker's time, its `limits.share`");
        }
        self.over = true;
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(desk) = &self.desk else { return };
        let mut conduct = desk.lock();
        conduct.in_use = conduct.in_use.saturating_sub(1);
        if self.as_probe {
            conduct.breaker.probe_lost(Instant::now());
        }
        if self.as_log_probe {
            conduct.log_breaker.probe_lost(Instant::now());
        }
    }
}
