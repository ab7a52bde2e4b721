//! What was used, in memory, and in the journal so that it outlives the process.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use dashmap::DashMap;
use limen_store::{Changes, Journal, JournalError};

use super::window::Window;

/// What was counted is on the disk this much later.
const SAVE_AFTER: Duration = Duration::from_millis(250);

/// What was used, by key. A thread saves what has changed.
pub(crate) struct Counts {
    inner: Arc<Inner>,
    /// Where they are kept.
    journal: Arc<Journal>,
    /// Keys whose count is not saved, each once.
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
    is_saved: bool,
}

impl Counts {
    /// With what the journal has of it.
    pub(super) fn open(name: &str, journal: Arc<Journal>, keys: usize) -> Self {
        let table = format!("quota/{name}");
        let counts = DashMap::new();
        for (key, value) in journal.entries(&table) {
            if let (Ok(key), Some(count)) = (str::from_utf8(&key), Count::decode(&value)) {
                counts.insert(Arc::from(key), count);
            }
        }
        let inner = Arc::new(Inner { counts, table, room: AtomicUsize::new(keys) });
        let (unsaved, changed) = mpsc::channel();
        let (saving, kept) = (inner.clone(), journal.clone());
        let saver = thread::Builder::new().name("limen-quota".to_owned());
        if let Err(error) = saver.spawn(move || saving.save_on(&kept, &changed)) {
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
        match self.inner.save(&self.journal, keys.into_iter()) {
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
            self.inner.make_room(window);
        }
        let key: Arc<str> = key.into();
        let mut count = self.inner.counts.entry(key.clone()).or_insert_with(|| Count::new(window.start));
        let taken = count.take(window, cost, limit);
        if taken.0 && std::mem::replace(&mut count.is_saved, false) {
            self.note(&key);
        }
        taken
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

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counts").field("table", &self.inner.table).finish_non_exhaustive()
    }
}

impl Inner {
    /// Saves, in batches, until nobody counts any more.
    fn save_on(&self, journal: &Journal, changed: &mpsc::Receiver<Arc<str>>) {
        let mut told = false;
        while let Ok(first) = changed.recv() {
            thread::sleep(SAVE_AFTER);
            match self.save(journal, [first].into_iter().chain(changed.try_iter())) {
                Ok(()) => told = false,
                Err(error) if !told => {
                    tracing::warn!("what is used of quotas can't be kept at the moment: {error}");
                    told = true;
                }
                Err(_) => {}
            }
        }
    }

    fn save(&self, journal: &Journal, keys: impl Iterator<Item = Arc<str>>) -> Result<(), JournalError> {
        let mut changes = Changes::default();
        for key in keys {
            let Some(mut count) = self.counts.get_mut(&key) else { continue };
            count.is_saved = true;
            changes.put(&self.table, key.as_bytes().to_vec(), count.encode());
        }
        journal.write(changes)
    }

    /// Drops what is of past windows, and a tenth of the rest if that is too little: the least used.
    fn make_room(&self, window: Window) {
        self.counts.retain(|_, count| count.start == window.start);
        let room = self.room.load(Ordering::Relaxed);
        if self.counts.len() < room {
            return;
        }
        let mut used: Vec<u64> = self.counts.iter().map(|count| count.used).collect();
        let tenth = used.len() / 10;
        if let Some(bar) = used.get(tenth).is_some().then(|| *used.select_nth_unstable(tenth).1) {
            let mut surplus = (used.len() + 1).saturating_sub(room - room / 10);
            self.counts.retain(|_, count| {
                let goes = count.used <= bar && surplus > 0;
                surplus -= usize::from(goes);
                !goes
            });
        }
    }
}

impl Count {
    fn new(start: u32) -> Self {
        Count { start, used: 0, is_saved: true }
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
        Some(Count { start: u32::from_be_bytes(*start), used, is_saved: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { start: 60, end: 120 };

    fn counts(keys: usize) -> Counts {
        Counts::open("test", Arc::new(Journal::nowhere()), keys)
    }

    #[test]
    fn a_limit_is_exact_and_begins_anew() {
        let counts = counts(100);
        assert_eq!(counts.take("a", WINDOW, 3, 5), (true, 3));
        assert_eq!(counts.take("a", WINDOW, 3, 5), (false, 3), "nothing is taken");
        assert_eq!(counts.take("a", WINDOW, 2, 5), (true, 5));
        assert_eq!(counts.take("b", WINDOW, 6, 5), (false, 0));
        assert_eq!((counts.reset("b", WINDOW), counts.reset("a", WINDOW)), (0, 5));
        assert_eq!(counts.take("a", WINDOW, 5, 5), (true, 5), "as if it were new");
        let next = Window { start: 120, end: 180 };
        assert_eq!(counts.take("a", next, 1, 5), (true, 1));
        let passed = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        passed.fetch_add(usize::from(counts.take("c", WINDOW, 1, 1000).0), Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 1000);
    }

    #[test]
    fn keys_are_bounded() {
        let counts = counts(1000);
        assert!(counts.take("most", WINDOW, 50, 50).0);
        for number in 0..3000 {
            counts.take(&number.to_string(), WINDOW, 1, 50);
        }
        assert!(counts.used(WINDOW, usize::MAX).len() <= 1000);
        assert!(!counts.take("most", WINDOW, 1, 50).0, "the least used go first");
    }

    #[test]
    fn what_was_counted_is_there_again() {
        let journal = Arc::new(Journal::nowhere());
        let before = Counts::open("test", journal.clone(), 10);
        before.take("ada", WINDOW, 7, 10);
        drop(before);
        while journal.get("quota/test", b"ada").is_none() {
            thread::yield_now();
        }
        let after = Counts::open("test", journal.clone(), 10);
        assert_eq!(after.used(WINDOW, 9), [(Arc::from("ada"), 7)]);
        after.take("eve", WINDOW, 1, 10);
        after.save();
        assert!(journal.get("quota/test", b"eve").is_some(), "at once");
        assert!(after.are_in(&journal) && !after.are_in(&Arc::new(Journal::nowhere())));
    }
}
