//! Signatures that came already.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};

use aws_lc_rs::digest::{Context, SHA256};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

/// How often what is over is forgotten, in seconds.
const SWEEP: i64 = 10;

/// What stands for a signature.
pub(super) type Mark = [u8; 32];

/// What came, and until when it would count again, in seconds since 1970. Kept over reloads.
#[derive(Default)]
pub(super) struct Replays {
    seen: DashMap<Mark, i64>,
    count: AtomicUsize,
    swept: AtomicI64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    First,
    Again,
    /// There is no room to remember it.
    Full,
}

/// A signature by its key and `nonce`, or itself.
pub(super) fn mark(key: &str, nonce: Option<&str>, signature: &[u8]) -> Mark {
    let mut context = Context::new(&SHA256);
    context.update(&(key.len() as u64).to_le_bytes());
    context.update(key.as_bytes());
    context.update(&[nonce.is_some().into()]);
    context.update(nonce.map_or(signature, str::as_bytes));
    let mut mark = [0; 32];
    mark.copy_from_slice(context.finish().as_ref());
    mark
}

impl Replays {
    /// Remembers one, with no more than so many others.
    pub(super) fn note(&self, mark: Mark, until: i64, now: i64, most: usize) -> Seen {
        self.sweep(now);
        if self.count.load(Relaxed) >= most {
            return if self.seen.contains_key(&mark) { Seen::Again } else { Seen::Full };
        }
        match self.seen.entry(mark) {
            Entry::Occupied(known) if *known.get() >= now => Seen::Again,
            Entry::Occupied(mut over) => {
                over.insert(until);
                Seen::First
            }
            Entry::Vacant(free) => {
                free.insert(until);
                self.count.fetch_add(1, Relaxed);
                Seen::First
            }
        }
    }

    /// Forgets what is over, now and then.
    fn sweep(&self, now: i64) {
        let last = self.swept.load(Relaxed);
        let is_due = now >= last + SWEEP || now < last;
        if is_due && self.swept.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
            self.seen.retain(|_, until| {
                let stays = *until >= now;
                if !stays {
                    self.count.fetch_sub(1, Relaxed);
                }
                stays
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_remembered_as_long_as_it_counts() {
        let replays = Replays::default();
        let one = mark("a", None, b"1");
        assert_eq!(replays.note(one, 100, 50, 2), Seen::First);
        assert_eq!(replays.note(one, 100, 100, 2), Seen::Again);
        assert_eq!(replays.note(mark("a", Some("1"), b"1"), 100, 50, 2), Seen::First, "a nonce is another");
        assert_eq!(replays.note(mark("b", None, b"1"), 100, 50, 2), Seen::Full);
        assert_eq!(replays.note(one, 100, 50, 2), Seen::Again);
        assert_eq!(replays.note(one, 200, 111, 2), Seen::First, "by then it is forgotten");
        assert_eq!(replays.count.load(Relaxed), 1);
    }

    #[test]
    fn of_many_at_the_same_time_one_is_the_first() {
        let replays = Replays::default();
        let mark = mark("a", Some("n"), b"");
        let firsts = std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| replays.note(mark, 100, 50, 100))).collect();
            all.into_iter().map(|one| one.join().unwrap()).filter(|it| *it == Seen::First).count()
        });
        assert_eq!(firsts, 1);
    }
}
