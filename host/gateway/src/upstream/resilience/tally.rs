//! How many events there were in a window of time that slides on, counted without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The window is made of so many cells; the oldest is dropped as a whole.
const CELLS: u64 = 8;
/// How many counters a tally is spread over that every request counts in: each worker has its own, as
/// long as there are not more workers than this.
const SHARDS: usize = 32;

pub struct Tally {
    since: Instant,
    cell: Duration,
    shards: Box<[Shard]>,
}

/// Each cell is the number of its time span (upper half) and the count of events in it (lower half). On
/// cache lines of its own, so that workers that count don't disturb each other.
#[derive(Default)]
#[repr(align(128))]
struct Shard([AtomicU64; CELLS as usize]);

impl Tally {
    /// For what happens on every request.
    pub fn of_requests(window: Duration, now: Instant) -> Self {
        Self::new(window, now, SHARDS)
    }

    /// For what happens seldom.
    pub fn of_rare(window: Duration, now: Instant) -> Self {
        Self::new(window, now, 1)
    }

    fn new(window: Duration, since: Instant, shards: usize) -> Self {
        let cell = (window / CELLS as u32).max(Duration::from_millis(1));
        Tally { since, cell, shards: (0..shards).map(|_| Shard::default()).collect() }
    }

    /// Counts an event of this worker.
    pub fn add(&self, worker: usize, now: Instant) {
        let span = self.span(now);
        self.change(worker, span, |count| count.saturating_add(1));
    }

    /// Takes back what was [added](Self::add) at that moment.
    pub fn take_back(&self, worker: usize, then: Instant) {
        let span = self.span(then);
        self.change(worker, span, |count| count.saturating_sub(1));
    }

    /// How many events the window has that ends now.
    pub fn count(&self, now: Instant) -> u64 {
        let newest = self.span(now);
        let cells = self.shards.iter().flat_map(|shard| &shard.0).map(|cell| cell.load(Ordering::Relaxed));
        cells.filter(|cell| newest.saturating_sub(cell >> 32) < CELLS).map(|cell| cell & COUNT).sum()
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.shards.iter().flat_map(|shard| &shard.0).for_each(|cell| cell.store(0, Ordering::Relaxed));
    }

    fn span(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.since).as_nanos();
        // Spans begin with one: what was never written is span zero, and too old when it would matter.
        (passed / self.cell.as_nanos().max(1)) as u64 + CELLS
    }

    fn change(&self, worker: usize, span: u64, change: impl Fn(u64) -> u64) {
        let cells = self.shards.get(worker % self.shards.len().max(1)).map(|shard| &shard.0);
        let Some(cell) = cells.and_then(|cells| cells.get((span % CELLS) as usize)) else { return };
        let _ = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |old| match old >> 32 {
            known if known == span => Some(span << 32 | (change(old & COUNT) & COUNT)),
            // Somebody with a later clock was here: what is that old does not count any more.
            known if known > span => None,
            _ => Some(span << 32 | change(0)),
        });
    }
}

const COUNT: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_the_window_has() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let tally = Tally::of_requests(Duration::from_millis(800), begin);
        assert_eq!(tally.count(at(0)), 0);
        for worker in 0..100 {
            tally.add(worker, at(worker as u64));
        }
        assert_eq!(tally.count(at(99)), 100);
        tally.add(3, at(750));
        tally.take_back(3, at(750));
        tally.add(3, at(750));
        assert_eq!(tally.count(at(799)), 101);
        // The first cell has gone as a whole, and is used again.
        assert_eq!(tally.count(at(800)), 1);
        tally.add(3, at(800));
        assert_eq!(tally.count(at(850)), 2);
        assert_eq!(tally.count(at(1500)), 1);
        assert_eq!(tally.count(at(100_000)), 0);
        tally.add(0, at(100_000));
        tally.clear();
        assert_eq!(tally.count(at(100_000)), 0);
    }
}
