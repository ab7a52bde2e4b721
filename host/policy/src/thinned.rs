//! Lines in the log that come as often as something goes wrong: so many a second, however often that is.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Lines of one kind in one second.
const LINES: u64 = 10;

/// Lines of one kind: how many there were in the second under way.
#[derive(Debug)]
pub struct Thinned {
    started: Instant,
    second: AtomicU64,
    lines: AtomicU64,
    left_out: AtomicU64,
}

impl Default for Thinned {
    fn default() -> Self {
        let zero = AtomicU64::default;
        Thinned { started: Instant::now(), second: zero(), lines: zero(), left_out: zero() }
    }
}

impl Thinned {
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
        let thinned = Thinned::default();
        let now = Instant::now();
        let told = (0..25).filter(|_| thinned.begin(now) == Some(0)).count();
        assert_eq!(told, 10);
        assert_eq!(thinned.begin(now + Duration::from_secs(1)), Some(15));
        assert_eq!(thinned.begin(now + Duration::from_secs(1)), Some(0));
    }
}
