//! Which writes to the disk wait, and whether they are still of use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dashmap::DashMap;
use limen_store::folder::Key;

/// No more than there are writes that wait or are under way.
#[derive(Default)]
pub struct Waiting(DashMap<Key, Outdated>);

/// Whether memory has a newer one that could not wait as well. Writes of one URL share it.
#[derive(Clone, Default)]
pub struct Outdated(Arc<AtomicBool>);

impl Waiting {
    pub fn add(&self, key: Key) -> Outdated {
        self.0.entry(key).or_default().clone()
    }

    /// All of it that are there by now are outdated; who comes later is not.
    pub fn outdate(&self, key: Key) {
        if let Some((_, outdated)) = self.0.remove(&key) {
            outdated.0.store(true, Ordering::SeqCst);
        }
    }

    /// All of all are.
    pub fn outdate_all(&self) {
        self.0.retain(|_, outdated| {
            outdated.0.store(true, Ordering::SeqCst);
            false
        });
    }

    /// One of it is over.
    pub fn done(&self, key: Key, outdated: &Outdated) {
        // The last one: it is cloned only in here, where nobody else has the key at this moment.
        let is_last = || Arc::strong_count(&outdated.0) == 2;
        self.0.remove_if(&key, |_, known| Arc::ptr_eq(&known.0, &outdated.0) && is_last());
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Outdated {
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_wait_are_outdated_and_none_that_comes_later() {
        let waiting = Waiting::default();
        let (one, two, other) = (waiting.add(1), waiting.add(1), waiting.add(2));
        waiting.outdate(1);
        let later = waiting.add(1);
        let are_set = [&one, &two, &other, &later].map(Outdated::is_set);
        assert_eq!(are_set, [true, true, false, false]);
        waiting.done(1, &one);
        assert_eq!(waiting.len(), 2, "the later one is not the same");
    }

    #[test]
    fn the_last_one_takes_its_key_away() {
        let waiting = Waiting::default();
        let (one, two) = (waiting.add(1), waiting.add(1));
        waiting.done(1, &one);
        drop(one);
        assert_eq!(waiting.len(), 1);
        waiting.done(1, &two);
        assert_eq!(waiting.len(), 0);
    }
}
