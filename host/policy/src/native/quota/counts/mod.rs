//! What was used, in memory, and in the journal so that it outlives the process.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use dashmap::DashMap;
use jiff::tz::TimeZone;
use limen_store::{Changes, Journal, JournalError};

use super::window::{Calendar, Period, Window};

/// What was counted outlives the process this much later: a pause, so that what is counted often is written seldom.
const NOTE_AFTER: Duration = Duration::from_millis(5);
/// ... and where it can't be kept at the moment, it is tried again this much later.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// All tables of quotas begin like this.
const TABLES: &str = "quota/";
/// What began so long ago no quota counts any more: the longest window is a month of 31 days, in which clocks are put back.
/// In minutes, as windows are.
const PAST: u32 = 32 * 24 * 60;

/// What was used, by key. A thread notes what has changed.
pub(crate) struct Counts {
    inner: Arc<Inner>,
    /// Where they are kept.
    journal: Arc<Journal>,
    /// Keys whose count is not saved, and those that were dropped.
    unsaved: mpsc::Sender<Arc<str>>,
}

struct Inner {
    counts: DashMap<Arc<str>, Count>,
    /// The table of the journal.
    table: String,
    room: AtomicUsize,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    /// The start of its window.
    start: u32,
    used: u64,
    /// How much of it the store that gateways share has not been told.
    owed: u64,
    is_saved: bool,
}

/// What the store has not been told of a key: still owed when this is dropped, if it was not told.
pub(super) struct Debt<'a> {
    counts: &'a Counts,
    key: &'a str,
    window: Window,
    pub(super) owed: u64,
}

impl Counts {
    /// With what the journal has of it that is not over, of so many keys at most.
    pub(super) fn open(name: &str, journal: Arc<Journal>, keys: usize, window: Window) -> Self {
        let table = format!("{TABLES}{name}");
        let inner = Inner { counts: DashMap::new(), table, room: AtomicUsize::new(keys) };
        let mut dropped = BTreeSet::new();
        for (key, value) in journal.entries(&inner.table) {
            let (Ok(key), Some(count)) = (str::from_utf8(&key), Count::decode(&value)) else { continue };
            // One that begins later is of a clock that was ahead of this one, or is right.
            if count.start < window.start {
                dropped.insert(Arc::from(key));
            } else {
                inner.counts.insert(Arc::from(key), count);
            }
        }
        if inner.counts.len() > keys {
            inner.make_room(window, |key| {
                dropped.insert(key.clone());
            });
        }
        let inner = Arc::new(inner);
        let (unsaved, changed) = mpsc::channel();
        let (noting, kept) = (inner.clone(), journal.clone());
        let thread = thread::Builder::new().name("limen-quota".to_owned());
        if let Err(error) = thread.spawn(move || noting.note_on(&kept, dropped, &changed)) {
            tracing::error!("what is used of quotas is not kept, no thread for it: {error}");
        }
        Counts { inner, journal, unsaved }
    }

    pub(super) fn are_in(&self, journal: &Arc<Journal>) -> bool {
        Arc::ptr_eq(&self.journal, journal)
    }

    /// Whether they are forgotten with the process.
    pub(super) fn are_nowhere(&self) -> bool {
        self.journal.is_nowhere()
    }

    /// Saves what is not yet saved: to be called when it will not be a moment later.
    pub(crate) fn save(&self) {
        let unsaved = self.inner.counts.iter().filter(|count| !count.is_saved);
        let keys: Vec<_> = unsaved.map(|count| count.key().clone()).collect();
        match self.journal.write(self.inner.changes(&keys)) {
            // Another process counts.
            Ok(()) | Err(JournalError::HandedOver) => {}
            Err(error) => tracing::error!("what was used of quotas at last is lost: {error}"),
        }
    }

    /// How many keys it may have.
    pub(super) fn resize(&self, keys: usize) {
        self.inner.room.store(keys, Ordering::Relaxed);
    }

    /// Takes so much, if all in all it is not over the limit. Answers whether it was, and what is used.
    pub(super) fn take(&self, key: &str, window: Window, cost: u64, limit: u64) -> (bool, u64) {
        if let Some(mut count) = self.inner.counts.get_mut(key) {
            let taken = count.take(window, cost, limit);
            if taken.0 && std::mem::replace(&mut count.is_saved, false) {
                self.note(count.key());
            }
            return taken;
        }
        if self.inner.counts.len() >= self.inner.room.load(Ordering::Relaxed) {
            self.inner.make_room(window, |key| self.note(key));
        }
        let key: Arc<str> = key.into();
        let mut count = self.inner.counts.entry(key.clone()).or_insert_with(|| Count::new(window.start));
        let taken = count.take(window, cost, limit);
        if taken.0 && std::mem::replace(&mut count.is_saved, false) {
            self.note(&key);
        }
        taken
    }

    /// Takes it while the store that gateways share can't be asked, which is told so later.
    pub(super) fn take_and_owe(&self, key: &str, window: Window, cost: u64, limit: u64) -> (bool, u64) {
        let taken = self.take(key, window, cost, limit);
        if taken.0 {
            self.owe(key, window, cost);
        }
        taken
    }

    /// What the store is to be told of a key.
    pub(super) fn debt<'a>(&'a self, key: &'a str, window: Window) -> Debt<'a> {
        let owed = match self.inner.counts.get(key).is_some_and(|count| count.owed > 0) {
            true => self.inner.counts.get_mut(key).map_or(0, |mut count| count.settle(window)),
            false => 0,
        };
        Debt { counts: self, key, window, owed }
    }

    fn owe(&self, key: &str, window: Window, owed: u64) {
        if let Some(mut count) = self.inner.counts.get_mut(key)
            && count.start == window.start
        {
            count.owed = count.owed.saturating_add(owed);
        }
    }

    /// What the store says is used of a key: counted from here on when it can't be asked.
    fn learn(&self, key: &str, window: Window, used: u64) {
        if let Some(mut count) = self.inner.counts.get_mut(key) {
            count.learn(window, used);
            return;
        }
        if self.inner.counts.len() >= self.inner.room.load(Ordering::Relaxed) {
            self.inner.make_room(window, |_| {});
        }
        let key: Arc<str> = key.into();
        self.inner.counts.entry(key).or_insert_with(|| Count::new(window.start)).learn(window, used);
    }

    /// What is used, of so many keys at most.
    pub(super) fn used(&self, window: Window, most: usize) -> Vec<(Arc<str>, u64)> {
        let all = self.inner.counts.iter().take(most);
        all.map(|entry| (entry.key().clone(), entry.value().used_in(window))).collect()
    }

    /// What is used of one key.
    pub(super) fn used_by(&self, key: &str, window: Window) -> u64 {
        self.inner.counts.get(key).map_or(0, |count| count.used_in(window))
    }

    /// Forgets what is used of one key; how much that was.
    pub(super) fn reset(&self, key: &str, window: Window) -> u64 {
        let Some(mut count) = self.inner.counts.get_mut(key) else { return 0 };
        let used = std::mem::take(&mut count.used);
        count.owed = 0;
        if std::mem::replace(&mut count.is_saved, false) {
            self.note(count.key());
        }
        if count.start == window.start { used } else { 0 }
    }

    fn note(&self, key: &Arc<str>) {
        // Without a thread it is not kept: that was told.
        let _ = self.unsaved.send(key.clone());
    }
}

/// Takes what no quota can count any more out of the journal, also that of policies which no configuration has.
pub(crate) fn forget_the_past(journal: &Journal) -> Result<(), JournalError> {
    let now = Calendar::new(Period::Minute, TimeZone::UTC).now();
    journal.forget(TABLES, |value| {
        Count::decode(value).is_none_or(|count| count.start.saturating_add(PAST) <= now.start)
    })
}

impl Debt<'_> {
    /// The store was told, and says what is used.
    pub(super) fn settle(mut self, used: u64) {
        self.owed = 0;
        self.counts.learn(self.key, self.window, used);
    }
}

impl Drop for Debt<'_> {
    fn drop(&mut self) {
        if self.owed > 0 {
            self.counts.owe(self.key, self.window, self.owed);
        }
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counts").field("table", &self.inner.table).finish_non_exhaustive()
    }
}

impl Inner {
    /// Notes, in batches, until nobody counts any more. What was dropped before goes with the first of them: a
    /// configuration that is refused counts nothing, and changes nothing.
    fn note_on(&self, journal: &Journal, mut keys: BTreeSet<Arc<str>>, changed: &mpsc::Receiver<Arc<str>>) {
        let mut is_late = false;
        loop {
            let first = match is_late {
                true => changed.recv_timeout(AGAIN_AFTER),
                false => changed.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match first {
                Ok(first) => {
                    thread::sleep(if is_late { AGAIN_AFTER } else { NOTE_AFTER });
                    keys.insert(first);
                    keys.extend(changed.try_iter());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            is_late = !self.note(journal, &mut keys);
        }
    }

    /// Notes these, and if that is done has none of them left. Another process may have the journal, and give it back.
    fn note(&self, journal: &Journal, keys: &mut BTreeSet<Arc<str>>) -> bool {
        let is_done = journal.note(self.changes(&*keys)).is_ok();
        match is_done {
            true => keys.clear(),
            false => self.are_unsaved(keys),
        }
        is_done
    }

    /// What the journal has to be told of these keys.
    fn changes<'a>(&self, keys: impl IntoIterator<Item = &'a Arc<str>>) -> Changes {
        let mut changes = Changes::default();
        for key in keys {
            let Some(mut count) = self.counts.get_mut(key) else {
                changes.remove(&self.table, key.as_bytes().to_vec());
                continue;
            };
            count.is_saved = true;
            changes.put(&self.table, key.as_bytes().to_vec(), count.encode());
        }
        changes
    }

    /// It could not be told.
    fn are_unsaved(&self, keys: &BTreeSet<Arc<str>>) {
        for key in keys {
            if let Some(mut count) = self.counts.get_mut(key) {
                count.is_saved = false;
            }
        }
    }

    /// Drops what is of past windows, and if that is too little so many of the rest that a tenth is free: the least
    /// used. Tells of each that may be in the journal; the others are on their way there.
    fn make_room(&self, window: Window, mut dropped: impl FnMut(&Arc<str>)) {
        let mut goes = |key: &Arc<str>, count: &Count| {
            if count.is_saved {
                dropped(key);
            }
        };
        self.counts.retain(|key, count| {
            let stays = count.start == window.start;
            if !stays {
                goes(key, count);
            }
            stays
        });
        let room = self.room.load(Ordering::Relaxed);
        if self.counts.len() < room {
            return;
        }
        let mut used: Vec<u64> = self.counts.iter().map(|count| count.used).collect();
        let mut surplus = (used.len() + 1).saturating_sub(room - room / 10);
        let Some(last) = surplus.checked_sub(1).filter(|last| *last < used.len()) else { return };
        let bar = *used.select_nth_unstable(last).1;
        self.counts.retain(|key, count| {
            let stays = count.used > bar || surplus == 0;
            if !stays {
                surplus -= 1;
                goes(key, count);
            }
            stays
        });
    }
}

impl Count {
    fn new(start: u32) -> Self {
        Count { start, used: 0, owed: 0, is_saved: true }
    }

    /// What is owed, for somebody to tell.
    fn settle(&mut self, window: Window) -> u64 {
        let owed = std::mem::take(&mut self.owed);
        if self.start == window.start { owed } else { 0 }
    }

    fn learn(&mut self, window: Window, used: u64) {
        let owed = if self.start == window.start { self.owed } else { 0 };
        *self = Count { start: window.start, used: used.saturating_add(owed), owed, is_saved: self.is_saved };
    }

    fn take(&mut self, window: Window, cost: u64, limit: u64) -> (bool, u64) {
        if self.start != window.start {
            *self = Count { is_saved: self.is_saved, ..Count::new(window.start) };
        }
        let next = self.used.saturating_add(cost);
        let allowed = next <= limit;
        if allowed {
            self.used = next;
        }
        (allowed, self.used)
    }

    fn used_in(&self, window: Window) -> u64 {
        if self.start == window.start { self.used } else { 0 }
    }

    fn encode(self) -> Vec<u8> {
        [&self.start.to_be_bytes()[..], &self.used.to_be_bytes()].concat()
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (start, used) = value.split_first_chunk::<4>()?;
        let used = u64::from_be_bytes(used.try_into().ok()?);
        Some(Count { start: u32::from_be_bytes(*start), used, owed: 0, is_saved: true })
    }
}
