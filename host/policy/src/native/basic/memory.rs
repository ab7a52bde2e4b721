//! Which passwords were right, and which were not.

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use moka::sync::Cache;

/// Passwords of each kind.
const REMEMBERED: u64 = 10_000;
/// The longest that a right one is remembered.
pub(super) const LONGEST: Duration = Duration::from_secs(3600);
/// How long a wrong one is, for clients that go on trying the same.
const WRONG_FOR: Duration = Duration::from_secs(5);

/// It outlives reloads: what is in it is of no use where a password is another one.
pub(super) struct Memory {
    key: hmac::Key,
    /// And since when.
    right: Cache<Mark, Instant>,
    wrong: Cache<Mark, ()>,
}

/// What stands for a user, a password and the hash that it has to fit.
pub(super) type Mark = [u8; 32];

/// What marks are made with; none without random numbers.
pub(super) fn key() -> Option<hmac::Key> {
    hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new()).ok()
}

impl Memory {
    pub(super) fn new(key: hmac::Key) -> Self {
        fn cache<T: Clone + Send + Sync + 'static>(time: Duration) -> Cache<Mark, T> {
            Cache::builder().max_capacity(REMEMBERED).time_to_live(time).build()
        }
        Memory { key, right: cache(LONGEST), wrong: cache(WRONG_FOR) }
    }

    /// Of `user:password`, where the colon is, and the hash as it is written.
    pub(super) fn mark(&self, pair: &[u8], colon: usize, hash: &str) -> Mark {
        let mut context = hmac::Context::with_key(&self.key);
        for length in [colon, pair.len()] {
            context.update(&(length as u64).to_le_bytes());
        }
        context.update(pair);
        context.update(hash.as_bytes());
        let mut mark = [0; 32];
        mark.copy_from_slice(context.sign().as_ref());
        mark
    }

    /// Whether it was right, if that is known and not older than that.
    pub(super) fn recall(&self, mark: &Mark, most: Duration) -> Option<bool> {
        if self.right.get(mark).is_some_and(|since| since.elapsed() < most) {
            return Some(true);
        }
        self.wrong.contains_key(mark).then_some(false)
    }

    pub(super) fn keep(&self, mark: Mark, fits: bool) {
        match fits {
            true => self.right.insert(mark, Instant::now()),
            false => self.wrong.insert(mark, ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_one_password_and_one_hash() {
        let memory = Memory::new(key().unwrap());
        let mark = memory.mark(b"ada:one", 3, "hash");
        memory.keep(mark, true);
        assert_eq!(memory.recall(&mark, LONGEST), Some(true));
        assert_eq!(memory.recall(&mark, Duration::ZERO), None);
        for other in [
            memory.mark(b"ada:one", 3, "another"),
            memory.mark(b"ada:one", 3, ""),
            memory.mark(b"ada:oneh", 3, "ash"),
            memory.mark(b"ada:two", 3, "hash"),
            memory.mark(b"ada:one", 2, "hash"),
            Memory::new(key().unwrap()).mark(b"ada:one", 3, "hash"),
        ] {
            assert_eq!(memory.recall(&other, LONGEST), None);
        }
        memory.keep(memory.mark(b"eve:x", 3, ""), false);
        assert_eq!(memory.recall(&memory.mark(b"eve:x", 3, ""), LONGEST), Some(false));
    }
}
