//! A while in which something is not tried again. Workers share it without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub struct Pause {
    start: Instant,
    /// Milliseconds since then.
    until: AtomicU64,
}

impl Pause {
    pub fn begin(&self, span: Duration) {
        self.until.fetch_max(millis(self.start.elapsed() + span), Ordering::Relaxed);
    }

    pub fn is_on(&self) -> bool {
        millis(self.start.elapsed()) < self.until.load(Ordering::Relaxed)
    }
}

impl Default for Pause {
    fn default() -> Self {
        Pause { start: Instant::now(), until: AtomicU64::new(0) }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_on_for_a_while() {
        let pause = Pause::default();
        assert!(!pause.is_on());
        pause.begin(Duration::from_secs(1000));
        pause.begin(Duration::ZERO);
        assert!(pause.is_on());
        let over = Pause { start: Instant::now(), until: AtomicU64::new(0) };
        over.begin(Duration::ZERO);
        assert!(!over.is_on());
    }
}
