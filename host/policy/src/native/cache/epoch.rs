//! Whether a URL was invalidated while a response of it was on its way, from an upstream or from the disk.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// URLs by their hash; those of one slot are taken for one another, to be on the safe side.
const SLOTS: usize = 1024;

/// How often something was invalidated.
pub struct Epochs {
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// The URL as it was at a moment: what is kept of it later has to know whether it was invalidated since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(u64);

impl Epochs {
    pub fn of(&self, url: &str) -> Epoch {
        Epoch(self.slot(url).load(Ordering::SeqCst))
    }

    /// It is invalidated.
    pub fn end(&self, url: &str) {
        self.slot(url).fetch_add(1, Ordering::SeqCst);
    }

    /// A new one in its place, for what is not invalidated itself; none if it was over already.
    pub fn renew(&self, url: &str, Epoch(old): Epoch) -> Option<Epoch> {
        let new = old.wrapping_add(1);
        let renewed = self.slot(url).compare_exchange(old, new, Ordering::SeqCst, Ordering::SeqCst);
        renewed.is_ok().then_some(Epoch(new))
    }

    /// All are.
    pub fn end_all(&self) {
        for slot in &self.slots {
            slot.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn slot(&self, url: &str) -> &AtomicU64 {
        static NONE: AtomicU64 = AtomicU64::new(0);
        let place = self.hasher.hash_one(url) as usize % SLOTS;
        self.slots.get(place).unwrap_or(&NONE)
    }
}

impl Default for Epochs {
    fn default() -> Self {
        let slots = (0..SLOTS).map(|_| AtomicU64::default()).collect();
        Epochs { slots, hasher: RandomState::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_that_is_over_is_not_renewed() {
        let epochs = Epochs::default();
        let first = epochs.of("a");
        let second = epochs.renew("a", first).unwrap();
        assert_eq!((epochs.of("a"), epochs.renew("a", first)), (second, None));
        epochs.end("a");
        assert_eq!(epochs.renew("a", second), None);
    }
}
