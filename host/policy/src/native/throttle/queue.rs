//! Who waits, and who is next.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tokio::sync::oneshot;

/// Those who wait, by level and key. The highest level is first; in a level, keys take turns, each in its order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    levels: BTreeMap<u8, Level>,
    len: usize,
    /// Who comes next gets this number.
    number: u64,
}

#[derive(Debug, Default)]
struct Level {
    turns: VecDeque<u128>,
    waiting: HashMap<u128, VecDeque<Waiter>>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    /// Dropped, it tells that there is no room any more.
    go: oneshot::Sender<()>,
}

/// Where somebody waits.
#[derive(Debug)]
pub(super) struct Ticket {
    level: u8,
    key: u128,
    number: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One more at the end of its key's. When as many as have room wait already, it takes the place of the last one of
    /// the key with the most, in the lowest level; none: it is of that one itself, or of a lower level.
    pub(super) fn enter(
        &mut self,
        level: u8,
        key: u128,
        room: usize,
    ) -> Option<(Ticket, oneshot::Receiver<()>)> {
        if self.len >= room && !self.make_room(level, key) {
            return None;
        }
        let number = self.number;
        self.number += 1;
        let (go, going) = oneshot::channel();
        let of = self.levels.entry(level).or_default();
        let waiting = of.waiting.entry(key).or_default();
        if waiting.is_empty() {
            of.turns.push_back(key);
        }
        waiting.push_back(Waiter { number, go });
        self.len += 1;
        Some((Ticket { level, key, number }, going))
    }

    /// Lets the next one go whom anybody waits for.
    pub(super) fn next(&mut self) -> Option<()> {
        loop {
            let mut highest = self.levels.last_entry()?;
            let level = highest.get_mut();
            let waiter = level.turns.pop_front().and_then(|key| {
                let waiting = level.waiting.get_mut(&key)?;
                let waiter = waiting.pop_front();
                if waiting.is_empty() {
                    level.waiting.remove(&key);
                } else {
                    level.turns.push_back(key);
                }
                waiter
            });
            if level.turns.is_empty() {
                highest.remove();
            }
            if let Some(waiter) = waiter {
                self.len -= 1;
                if waiter.go.send(()).is_ok() {
                    return Some(());
                }
            }
        }
    }

    /// Nobody waits there any more.
    pub(super) fn leave(&mut self, ticket: &Ticket) {
        let Ticket { level, key, number } = *ticket;
        self.remove(level, key, |waiting| waiting.iter().position(|waiter| waiter.number == number));
    }

    fn make_room(&mut self, level: u8, key: u128) -> bool {
        let own = self.levels.get(&level).and_then(|level| level.waiting.get(&key)).map_or(0, VecDeque::len);
        let Some((&lowest, of)) = self.levels.first_key_value() else { return false };
        let longest = of.waiting.iter().max_by_key(|(_, waiting)| waiting.len());
        let Some((&longest, waiting)) = longest else { return false };
        if level < lowest || (level == lowest && own + 1 >= waiting.len()) {
            return false;
        }
        self.remove(lowest, longest, |waiting| waiting.len().checked_sub(1));
        true
    }

    fn remove(&mut self, level: u8, key: u128, which: impl Fn(&VecDeque<Waiter>) -> Option<usize>) {
        let Some(of) = self.levels.get_mut(&level) else { return };
        let Some(waiting) = of.waiting.get_mut(&key) else { return };
        let Some(place) = which(waiting) else { return };
        waiting.remove(place);
        self.len -= 1;
        if waiting.is_empty() {
            of.waiting.remove(&key);
            of.turns.retain(|turn| *turn != key);
        }
        if of.turns.is_empty() {
            self.levels.remove(&level);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Enters these, and says in what order they go.
    fn order(entries: &[(u8, u128, &'static str)], room: usize) -> (Vec<&'static str>, Vec<&'static str>) {
        let mut queue = Queue::default();
        let mut going: Vec<_> = entries
            .iter()
            .map(|(level, key, name)| (*name, queue.enter(*level, *key, room).map(|(_, going)| going)))
            .collect();
        let mut order = Vec::new();
        while queue.next().is_some() {
            let gone = going
                .iter_mut()
                .position(|(_, going)| going.as_mut().is_some_and(|going| going.try_recv().is_ok()));
            order.push(going.remove(gone.unwrap()).0);
        }
        assert_eq!(queue.len(), 0);
        (order, going.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn keys_take_turns_and_higher_levels_go_first() {
        let entries = [(0, 1, "a1"), (0, 1, "a2"), (0, 1, "a3"), (0, 2, "b1"), (5, 3, "c1"), (0, 2, "b2")];
        assert_eq!(order(&entries, 10).0, ["c1", "a1", "b1", "a2", "b2", "a3"]);
    }

    #[test]
    fn who_has_the_most_there_makes_room() {
        let entries = [(0, 1, "a1"), (0, 1, "a2"), (0, 1, "a3"), (0, 2, "b1"), (0, 2, "b2"), (0, 1, "a4")];
        assert_eq!(order(&entries, 3), (vec!["a1", "b1", "a2"], vec!["a3", "b2", "a4"]));
        let entries = [(1, 1, "a1"), (0, 2, "b1"), (0, 3, "c1"), (1, 1, "a2"), (1, 1, "a3")];
        assert_eq!(order(&entries, 2), (vec!["a1", "a2"], vec!["b1", "c1", "a3"]));
    }

    #[test]
    fn who_leaves_is_not_waited_for() {
        let mut queue = Queue::default();
        let (ticket, _) = queue.enter(0, 1, 3).unwrap();
        let (_gone, going) = queue.enter(0, 1, 3).unwrap();
        let (_, mut last) = queue.enter(0, 2, 3).unwrap();
        queue.leave(&ticket);
        queue.leave(&ticket);
        assert_eq!(queue.len(), 2);
        drop(going);
        assert!(queue.next().is_some());
        assert!(last.try_recv().is_ok(), "nobody waits for the one before");
        assert!(queue.next().is_none());
    }
}
