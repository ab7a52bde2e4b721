//! Numbers that one worker writes and anybody may read: adding is a plain load and store, no lock and no
//! locked instruction.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Only ever goes up. (A gauge goes down as well.)
#[derive(Default)]
pub struct Cell(AtomicU64);

/// Upper bounds of `http.*.duration`, in nanoseconds: those that OpenTelemetry's conventions advise.
pub const DURATIONS: [u64; 14] = [
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    75_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    750_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    7_500_000_000,
    10_000_000_000,
];

/// Upper bounds of `http.*.body.size`, in bytes. The conventions advise none.
pub const SIZES: [u64; 9] = [0, 1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 20, 1 << 24, 1 << 28];

/// Upper bounds of what policies take, in nanoseconds: microseconds if they compute, and milliseconds if they ask
/// somebody.
pub const HOOKS: [u64; 10] =
    [1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

/// How often, and how much in all, in buckets.
pub struct Histogram<const N: usize> {
    buckets: [Cell; N],
    above: Cell,
    sum: Cell,
}

pub type DurationHistogram = Histogram<{ DURATIONS.len() }>;
pub type HookHistogram = Histogram<{ HOOKS.len() }>;
pub type SizeHistogram = Histogram<{ SIZES.len() }>;

/// What histograms of several workers come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Total<const N: usize> {
    /// Not cumulative yet.
    pub buckets: [u64; N],
    pub above: u64,
    pub sum: u64,
}

impl Cell {
    /// To be called by its worker only: two that add at a time may lose one.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    pub fn subtract(&self, amount: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(amount), Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl<const N: usize> Histogram<N> {
    fn record(&self, value: u64, bounds: &[u64; N]) {
        // Most exchanges are quick and small: they are found at once.
        let bucket = bounds.iter().zip(&self.buckets).find(|(bound, _)| value <= **bound);
        bucket.map_or(&self.above, |(_, bucket)| bucket).add(1);
        self.sum.add(value);
    }

    pub fn add_to(&self, total: &mut Total<N>) {
        for (sum, bucket) in total.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.get();
        }
        total.above += self.above.get();
        total.sum = total.sum.wrapping_add(self.sum.get());
    }
}

impl DurationHistogram {
    pub fn record_time(&self, time: Duration) {
        self.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), &DURATIONS);
    }
}

impl HookHistogram {
    pub fn record_hooks(&self, time: Duration) {
        self.record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), &HOOKS);
    }
}

impl SizeHistogram {
    pub fn record_size(&self, bytes: u64) {
        self.record(bytes, &SIZES);
    }
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        let buckets = std::array::from_fn(|_| Cell::default());
        Histogram { buckets, above: Cell::default(), sum: Cell::default() }
    }
}

impl<const N: usize> Default for Total<N> {
    fn default() -> Self {
        Total { buckets: [0; N], above: 0, sum: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = DurationHistogram::default();
        for millis in [0, 5, 6, 10_000, 10_001] {
            histogram.record_time(Duration::from_millis(millis));
        }
        let mut total = Total::default();
        histogram.add_to(&mut total);
        histogram.add_to(&mut total);
        assert_eq!((total.buckets[0], total.buckets[1], total.buckets[13], total.above), (4, 2, 2, 2));
        assert_eq!(total.sum, 2 * 20_012_000_000);
    }
}
