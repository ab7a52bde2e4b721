//! Who sees to it that a guest that computes for long is interrupted: one thread for all engines.
//!
//! Compiled code looks at its engine's epoch in every loop and call, and asks [`on_tick`](crate::state::on_tick) what
//! to do when that has advanced. It would do to advance it every millisecond; but a thread that wakes up so often
//! costs a busy worker half as much as its policies do. Most hooks are over in microseconds. So each thread counts how
//! often it has gone into a guest and come out again, and this one looks at that now and then: the epoch is advanced
//! when somebody is in the same call as a tick ago, and for some time after that. Hooks that are shorter than what it
//! takes to notice them never look up: who calls them checks what they have used together.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::EngineWeak;

/// The epoch's tick: a guest that keeps its worker busy gives way this often, and is stopped at one when its time is over.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// How often it looks while nobody is in a guest, at most: a tick later a call that began meanwhile is known to be
/// long, which is soon enough for the default of `limits.cpu`.
const LOOK: Duration = Duration::from_millis(4);
/// So many ticks the epoch goes on after a long call was seen: where there was one there are more.
const GOES_ON: u32 = 100;
/// After so many looks at which nobody had been in a guest it goes to sleep, until somebody is.
const IDLE: u32 = 250;
/// It looks even then.
const SLEEP: Duration = Duration::from_millis(100);

static EPOCHS: Epochs = Epochs::new();

thread_local! {
    static PULSE: Arc<Pulse> = EPOCHS.new_pulse();
}

struct Epochs {
    thread: OnceLock<Thread>,
    engines: Mutex<Vec<EngineWeak>>,
    /// Of each thread that was in a guest, with what it was at the last look.
    pulses: Mutex<Vec<(Weak<Pulse>, u64)>>,
    /// How often it looks, in nanoseconds.
    between_looks: AtomicU64,
    sleeps: AtomicBool,
}

/// How often a thread has gone into a guest or come out of it: odd while it is there.
#[repr(align(128))]
#[derive(Default)]
struct Pulse(AtomicU64);

/// What there was to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sight {
    /// Nobody has been in a guest since the last look.
    Nobody,
    /// Somebody was, and is out again.
    Somebody,
    /// Somebody is.
    Inside,
    /// Somebody is in the same call as at the last look.
    Long,
}

/// Held while a guest computes on this thread.
pub(crate) struct InGuest(());

impl InGuest {
    pub(crate) fn enter() -> Self {
        beat();
        if EPOCHS.sleeps.load(Ordering::Relaxed) {
            EPOCHS.wake();
        }
        InGuest(())
    }
}

impl Drop for InGuest {
    fn drop(&mut self) {
        beat();
    }
}

fn beat() {
    // A thread that is ending is in no guest.
    let _ = PULSE.try_with(|pulse| {
        // This thread alone writes it.
        pulse.0.store(pulse.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    });
}

/// Looks after an engine, until it is gone.
pub(crate) fn watch(engine: &wasmtime::Engine) -> std::io::Result<()> {
    let mut engines = EPOCHS.engines();
    if EPOCHS.thread.get().is_none() {
        let started = thread::Builder::new().name("limen-epochs".into()).spawn(|| EPOCHS.run())?;
        EPOCHS.thread.get_or_init(|| started.thread().clone());
    }
    engines.push(engine.weak());
    Ok(())
}

/// Says that there are guests that may compute for so long: where that is less than usual it looks more often from now
/// on.
pub(crate) fn expect(cpu: Duration) {
    EPOCHS.expect(cpu);
}

impl Epochs {
    const fn new() -> Self {
        Epochs {
            thread: OnceLock::new(),
            engines: Mutex::new(Vec::new()),
            pulses: Mutex::new(Vec::new()),
            between_looks: AtomicU64::new(LOOK.as_nanos() as u64),
            sleeps: AtomicBool::new(false),
        }
    }

    fn expect(&self, cpu: Duration) {
        let sooner = cpu.saturating_sub(TICK).clamp(TICK, LOOK);
        self.between_looks.fetch_min(sooner.as_nanos() as u64, Ordering::Relaxed);
    }

    fn run(&self) {
        let (mut quiet, mut goes_on) = (0, 0_u32);
        loop {
            let mut sight = self.look();
            quiet = if sight == Sight::Nobody { quiet + 1 } else { 0 };
            if quiet >= IDLE {
                quiet = 0;
                sight = self.sleep();
            }
            if sight == Sight::Long {
                goes_on = GOES_ON;
            }
            if goes_on > 0 {
                goes_on -= 1;
                self.advance();
            }
            let somebody_may_be_long = sight >= Sight::Inside || goes_on > 0;
            thread::sleep(if somebody_may_be_long { TICK } else { self.between_looks() });
        }
    }

    /// Until somebody goes into a guest.
    fn sleep(&self) -> Sight {
        self.sleeps.store(true, Ordering::SeqCst);
        // Whoever went in at the same moment may not have seen it: a little later that is seen here.
        let mut pause = self.between_looks();
        let sight = loop {
            let sight = self.look();
            if sight != Sight::Nobody || !self.sleeps.load(Ordering::SeqCst) {
                break sight;
            }
            thread::park_timeout(pause);
            pause = SLEEP;
        };
        self.sleeps.store(false, Ordering::SeqCst);
        sight
    }

    fn wake(&self) {
        if self.sleeps.swap(false, Ordering::SeqCst) {
            self.thread.get().inspect(|thread| thread.unpark());
        }
    }

    fn look(&self) -> Sight {
        let mut sight = Sight::Nobody;
        self.pulses().retain_mut(|(pulse, seen)| {
            let Some(pulse) = pulse.upgrade() else { return false };
            let before = std::mem::replace(seen, pulse.0.load(Ordering::Relaxed));
            let here = match (*seen == before, *seen % 2 == 1) {
                (true, false) => Sight::Nobody,
                (false, false) => Sight::Somebody,
                (false, true) => Sight::Inside,
                (true, true) => Sight::Long,
            };
            sight = sight.max(here);
            true
        });
        sight
    }

    fn advance(&self) {
        self.engines().retain(|engine| {
            engine.upgrade().is_some_and(|engine| {
                engine.increment_epoch();
                true
            })
        });
    }

    fn between_looks(&self) -> Duration {
        Duration::from_nanos(self.between_looks.load(Ordering::Relaxed))
    }

    fn new_pulse(&self) -> Arc<Pulse> {
        let pulse = Arc::<Pulse>::default();
        self.pulses().push((Arc::downgrade(&pulse), 0));
        pulse
    }

    fn engines(&self) -> MutexGuard<'_, Vec<EngineWeak>> {
        self.engines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pulses(&self) -> MutexGuard<'_, Vec<(Weak<Pulse>, u64)>> {
        self.pulses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_call_at_two_looks_is_long() {
        let epochs = Epochs::new();
        assert_eq!(epochs.look(), Sight::Nobody);
        let (one, other) = (epochs.new_pulse(), epochs.new_pulse());
        let beat = |pulse: &Pulse| pulse.0.fetch_add(1, Ordering::Relaxed);
        assert_eq!(epochs.look(), Sight::Nobody);
        beat(&one);
        assert_eq!(epochs.look(), Sight::Inside);
        beat(&one);
        assert_eq!(epochs.look(), Sight::Somebody);
        assert_eq!(epochs.look(), Sight::Nobody);
        beat(&one);
        assert_eq!(epochs.look(), Sight::Inside);
        (0..2).for_each(|_| _ = beat(&one));
        assert_eq!(epochs.look(), Sight::Inside, "it is in the next one");
        (0..2).for_each(|_| _ = beat(&other));
        assert_eq!(epochs.look(), Sight::Long);
        drop(one);
        assert_eq!(epochs.look(), Sight::Nobody, "its thread has ended");
        assert_eq!(epochs.pulses().len(), 1);
    }

    #[test]
    fn it_sleeps_until_somebody_goes_in_and_misses_nobody() {
        let epochs = Epochs::new();
        let pulse = epochs.new_pulse();
        let asleep = || {
            while !epochs.sleeps.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        };
        thread::scope(|scope| {
            let sleeping = scope.spawn(|| epochs.sleep());
            asleep();
            epochs.wake();
            assert_eq!(sleeping.join().unwrap(), Sight::Nobody);
            // Somebody who went in before it could be seen that it sleeps.
            let sleeping = scope.spawn(|| epochs.sleep());
            asleep();
            pulse.0.fetch_add(1, Ordering::Relaxed);
            assert_eq!(sleeping.join().unwrap(), Sight::Inside);
        });
        assert!(!epochs.sleeps.load(Ordering::SeqCst));
    }

    #[test]
    fn who_may_compute_for_less_is_looked_at_sooner() {
        let epochs = Epochs::new();
        let times = |cpu| {
            epochs.expect(Duration::from_millis(cpu));
            epochs.between_looks()
        };
        assert_eq!(times(50), LOOK);
        assert_eq!(times(3), 2 * TICK);
        assert_eq!(times(5), 2 * TICK, "the other one is still there");
        assert_eq!(times(1), TICK);
    }
}
