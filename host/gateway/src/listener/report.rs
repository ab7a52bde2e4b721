//! Lines in the log about refused connections and requests: so many a second, however many there are.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::{Terms, Trouble};

/// Lines of one listener, or of the requests of one worker, in one second.
const LINES: u64 = 10;

/// How many lines there were in the second under way.
pub struct Reports {
    started: Instant,
    second: AtomicU64,
    lines: AtomicU64,
    left_out: AtomicU64,
}

impl Default for Reports {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Reports { started: Instant::now(), second: zero(), lines: zero(), left_out: zero() }
    }
}

impl Terms {
    /// Counts what happened to a connection, and tells the log.
    pub fn report(&self, trouble: Trouble, client: SocketAddr, reason: impl fmt::Display) {
        self.shared.counters.count(trouble);
        let Some(left_out) = self.shared.reports.begin(Instant::now()) else { return };
        let (listener, why) = (&*self.name, trouble.name());
        if left_out == 0 {
            tracing::info!(listener, %client, why, "refused: {reason}");
        } else {
            tracing::info!(listener, %client, why, left_out, "refused: {reason}");
        }
    }
}

impl Reports {
    /// Whether there may be another line now, and how many were left out since the last.
    pub fn begin(&self, now: Instant) -> Option<u64> {
        let second = now.duration_since(self.started).as_secs();
        // Two workers may both begin the second: then it has some lines more.
        if self.second.swap(second, Relaxed) != second {
            self.lines.store(0, Relaxed);
        }
        if self.lines.fetch_add(1, Relaxed) >= LINES {
            self.left_out.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.left_out.swap(0, Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_second_has_ten_lines_and_the_next_tells_how_many_more_there_were() {
        let reports = Reports::default();
        let now = Instant::now();
        let told = (0..25).filter(|_| reports.begin(now) == Some(0)).count();
        assert_eq!(told, 10);
        assert_eq!(reports.begin(now + Duration::from_secs(1)), Some(15));
        assert_eq!(reports.begin(now + Duration::from_secs(1)), Some(0));
    }
}
