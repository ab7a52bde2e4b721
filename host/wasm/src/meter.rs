//! How long a guest computes: the time of its turns on the worker, without those of others between them.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::epochs::InGuest;

/// A turn longer than this is measured with the thread's own clock too, so that it is not charged for
/// what the machine gave to other programs meanwhile.
const LONG: Duration = Duration::from_millis(1);

/// The turn that is under way on this thread.
#[derive(Clone, Copy)]
struct Turn {
    /// What the call has used in its turns before.
    before: Duration,
    started: Instant,
    /// The time that this thread had computed for shortly before the turn.
    thread: Duration,
}

thread_local! {
    static TURN: Cell<Option<Turn>> = const { Cell::new(None) };
    /// What the thread's clock said, and when: reading it is a system call.
    static READ: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
}

/// What the call under way has computed for until now; host calls that compute are part of it.
pub(crate) fn used() -> Duration {
    TURN.get().map(Turn::used).unwrap_or_default()
}

/// Runs a call, for so long on the clock at most: what it came to, or none when the time is over, and
/// what it computed for. A call that never waits costs no timer. (It is lent: moved in here it would have its place
/// twice in the future of whoever asks.)
pub(crate) async fn metered<F: Future>(
    wall: Duration,
    mut call: Pin<&mut F>,
) -> (Option<F::Output>, Duration) {
    let mut timer = None;
    let mut used = Duration::ZERO;
    let output = poll_fn(|context| {
        let turn = Turn::begin(used, Instant::now());
        TURN.set(Some(turn));
        let polled = {
            let _in_guest = InGuest::enter();
            call.as_mut().poll(context)
        };
        used = turn.used();
        TURN.set(None);
        if let Poll::Ready(output) = polled {
            return Poll::Ready(Some(output));
        }
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(wall)));
        timer.as_mut().poll(context).map(|()| None)
    })
    .await;
    (output, used)
}

/// The same for a call that never waits, and so has one turn. It began at `now`: what an isolate took to get counts too,
/// which saves a look at the clock.
pub(crate) fn metered_here<T>(now: Instant, call: impl FnOnce() -> T) -> (T, Duration) {
    let turn = Turn::begin(Duration::ZERO, now);
    TURN.set(Some(turn));
    let output = {
        let _in_guest = InGuest::enter();
        call()
    };
    TURN.set(None);
    (output, turn.used())
}

impl Turn {
    fn begin(before: Duration, started: Instant) -> Self {
        let thread = match READ.get() {
            Some((at, thread)) if started.duration_since(at) < LONG => thread,
            _ => {
                let thread = thread_time();
                READ.set(Some((started, thread)));
                thread
            }
        };
        Turn { before, started, thread }
    }

    fn used(self) -> Duration {
        let elapsed = self.started.elapsed();
        let here =
            if elapsed < LONG { elapsed } else { elapsed.min(thread_time().saturating_sub(self.thread)) };
        self.before + here
    }
}

/// The time that this thread has computed for.
pub fn thread_time() -> Duration {
    cpu_time(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// The time that all threads of the process have computed for.
pub fn process_time() -> Duration {
    cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID)
}

#[allow(unsafe_code, reason = "libc's call")]
fn cpu_time(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes one `timespec`.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn waiting_is_not_computing() {
        let call = pin!(async {
            let begun = thread_time();
            while thread_time() - begun < Duration::from_millis(5) {}
            let at_once = super::used();
            tokio::time::sleep(Duration::from_millis(50)).await;
            (at_once, super::used())
        });
        let (output, used) = metered(Duration::from_secs(60), call).await;
        let (before, after) = output.unwrap();
        assert!(before >= Duration::from_millis(5), "{before:?}");
        assert!(after >= before && used >= after, "{before:?}, {after:?}, {used:?}");
        assert!(used < Duration::from_millis(50), "{used:?}");
        assert_eq!(super::used(), Duration::ZERO, "nothing is under way");
    }

    #[tokio::test]
    async fn the_clock_ends_what_waits() {
        let (output, used) = metered(Duration::from_millis(5), pin!(std::future::pending::<()>())).await;
        assert!(output.is_none() && used < Duration::from_millis(5));
    }
}
