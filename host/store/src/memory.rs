//! A store in the memory of the gateway.

use std::future::ready;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use limen_config::Store as Terms;
use moka::Expiry;
use moka::ops::compute::{CompResult, Op};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use crate::{Answer, Life, MAX_KEY, MAX_VALUE, Store, StoreError};

/// What an entry takes beside its key and value, in bytes: measured at some 200.
const OVERHEAD: usize = 200;

/// Entries up to a size, the least recently used of which go first.
#[derive(Debug)]
pub struct Memory(ArcSwap<Table>);

#[derive(Debug)]
struct Table {
    terms: Terms,
    entries: Cache<String, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    value: Bytes,
    /// None: never.
    ends: Option<Instant>,
}

impl Memory {
    pub fn new(terms: &Terms) -> Self {
        Memory(ArcSwap::from_pointee(Table::new(terms)))
    }
}

impl Table {
    fn new(terms: &Terms) -> Self {
        let entries = Cache::builder()
            .max_capacity(terms.size)
            .weigher(|key: &String, entry: &Entry| {
                u32::try_from(weight(key, &entry.value)).unwrap_or(u32::MAX)
            })
            // The other one may refuse what is new, so that nobody would find what was just set.
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Ends)
            .build();
        Table { terms: terms.clone(), entries }
    }

    fn entry(&self, value: Bytes, life: Life) -> Entry {
        let life = match life {
            Life::Usual => self.terms.ttl,
            Life::Endless => None,
            Life::For(time) => Some(time),
        };
        Entry { value, ends: life.and_then(|life| Instant::now().checked_add(life)) }
    }

    fn check(&self, key: &str, value: &Bytes) -> Result<(), StoreError> {
        let fits = key.len() <= MAX_KEY && value.len() <= MAX_VALUE;
        if fits && weight(key, value) as u64 <= self.terms.size { Ok(()) } else { Err(StoreError::TooLarge) }
    }

    fn incr(&self, key: &str, delta: i64, life: Life) -> Result<i64, StoreError> {
        self.check(key, &Bytes::from_static(&[0; 20]))?;
        let mut answer = Err(StoreError::WrongType);
        let answered = &mut answer;
        self.entries.entry_by_ref(key).and_compute_with(|entry| {
            let entry = match entry {
                None => {
                    *answered = Ok(delta);
                    self.entry(digits(delta), life)
                }
                Some(entry) => {
                    let entry = entry.into_value();
                    let Some(number) = number(&entry.value) else { return Op::Nop };
                    let sum = number.saturating_add(delta);
                    *answered = Ok(sum);
                    Entry { value: digits(sum), ..entry }
                }
            };
            Op::Put(entry)
        });
        answer
    }

    fn swap(&self, key: &str, expected: Option<&[u8]>, value: Bytes, life: Life) -> Result<bool, StoreError> {
        self.check(key, &value)?;
        let result = self.entries.entry_by_ref(key).and_compute_with(|entry| {
            let found = entry.map(|entry| entry.into_value().value);
            if found.as_deref() == expected { Op::Put(self.entry(value, life)) } else { Op::Nop }
        });
        Ok(matches!(result, CompResult::Inserted(_) | CompResult::ReplacedWith(_)))
    }
}

impl Store for Memory {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Bytes>> {
        let found = self.0.load().entries.get(key).map(|entry| entry.value);
        Box::pin(ready(Ok(found)))
    }

    fn set<'a>(&'a self, key: &'a str, value: Bytes, life: Life) -> Answer<'a, ()> {
        let table = self.0.load();
        let result =
            table.check(key, &value).map(|()| table.entries.insert(key.to_owned(), table.entry(value, life)));
        Box::pin(ready(result))
    }

    fn remove<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        self.0.load().entries.invalidate(key);
        Box::pin(ready(Ok(())))
    }

    fn incr<'a>(&'a self, key: &'a str, delta: i64, life: Life) -> Answer<'a, i64> {
        Box::pin(ready(self.0.load().incr(key, delta, life)))
    }

    fn swap<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        value: Bytes,
        life: Life,
    ) -> Answer<'a, bool> {
        Box::pin(ready(self.0.load().swap(key, expected, value, life)))
    }

    /// What is written in this moment may be lost, if the size is another.
    fn adopt(&self, terms: &Terms) {
        let now = self.0.load();
        if now.terms == *terms {
            return;
        }
        let next = Table::new(terms);
        for (key, entry) in &now.entries {
            next.entries.insert(key.to_string(), entry);
        }
        self.0.store(next.into());
    }

    fn size(&self) -> Option<(u64, u64)> {
        let table = self.0.load();
        table.entries.run_pending_tasks();
        Some((table.entries.entry_count(), table.entries.weighted_size()))
    }
}

/// Each entry says itself when it ends.
#[derive(Debug)]
struct Ends;

impl Expiry<String, Entry> for Ends {
    fn expire_after_create(&self, _: &String, entry: &Entry, at: Instant) -> Option<Duration> {
        entry.ends.map(|ends| ends.saturating_duration_since(at))
    }

    fn expire_after_update(
        &self,
        _: &String,
        entry: &Entry,
        at: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        entry.ends.map(|ends| ends.saturating_duration_since(at))
    }
}

fn weight(key: &str, value: &Bytes) -> usize {
    OVERHEAD + key.len() + value.len()
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn digits(number: i64) -> Bytes {
    number.to_string().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that meets the unexpected should stop right there")]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn store(size: u64, ttl: Option<Duration>) -> Memory {
        Memory::new(&Terms { name: "s".into(), shared: false, size, ttl })
    }

    /// What a store in memory answers, which it does at once.
    fn now<T>(mut answer: Answer<'_, T>) -> Result<T, StoreError> {
        match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => answer,
            Poll::Pending => panic!("memory never waits"),
        }
    }

    fn value(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn what_is_set_is_there_until_it_ends() {
        let store = store(1 << 20, Some(Duration::from_millis(20)));
        now(store.set("usual", value("1"), Life::Usual)).unwrap();
        now(store.set("endless", value("2"), Life::Endless)).unwrap();
        now(store.set("long", value("3"), Life::For(Duration::from_secs(60)))).unwrap();
        assert_eq!(now(store.get("usual")), Ok(Some(value("1"))));
        std::thread::sleep(Duration::from_millis(25));
        assert_eq!(now(store.get("usual")), Ok(None));
        assert_eq!(now(store.get("endless")), Ok(Some(value("2"))));
        now(store.remove("long")).unwrap();
        assert_eq!(now(store.get("long")), Ok(None));
    }

    #[test]
    fn adding_is_atomic_and_does_not_prolong() {
        let store = store(1 << 20, None);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..500).for_each(|_| drop(now(store.incr("n", 1, Life::Endless)))));
            }
        });
        assert_eq!(now(store.get("n")), Ok(Some(value("4000"))));
        assert_eq!(now(store.incr("n", i64::MAX, Life::Usual)), Ok(i64::MAX));
        now(store.set("word", value("x"), Life::Usual)).unwrap();
        assert_eq!(now(store.incr("word", 1, Life::Usual)), Err(StoreError::WrongType));

        let short = Life::For(Duration::from_millis(30));
        now(store.incr("short", 1, short)).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(now(store.incr("short", 1, Life::For(Duration::from_secs(60)))), Ok(2));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(now(store.incr("short", 1, short)), Ok(1));
    }

    #[test]
    fn one_swap_wins() {
        let store = store(1 << 20, None);
        let wins: usize = std::thread::scope(|scope| {
            let swap = || usize::from(now(store.swap("k", None, value("mine"), Life::Usual)).unwrap());
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(swap)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(wins, 1);
        assert_eq!(now(store.swap("k", Some(b"other"), value("x"), Life::Usual)), Ok(false));
        assert_eq!(now(store.swap("k", Some(b"mine"), value("x"), Life::Usual)), Ok(true));
        assert_eq!(now(store.get("k")), Ok(Some(value("x"))));
    }

    #[test]
    fn it_stays_within_its_size_and_keeps_the_newest() {
        let store = store(100_000, None);
        for n in 0..5_000 {
            now(store.set(&n.to_string(), Bytes::from(vec![0; 100]), Life::Usual)).unwrap();
            assert!(now(store.get(&n.to_string())).unwrap().is_some(), "{n}");
        }
        let (entries, bytes) = store.size().unwrap();
        assert!(bytes <= 100_000 && (200..400).contains(&entries), "{entries} entries, {bytes} bytes");
        let long = "k".repeat(MAX_KEY + 1);
        assert_eq!(now(store.set(&long, value(""), Life::Usual)), Err(StoreError::TooLarge));
        let big = Bytes::from(vec![0; 100_000]);
        assert_eq!(now(store.set("big", big, Life::Usual)), Err(StoreError::TooLarge));
    }

    #[test]
    fn entries_survive_other_terms() {
        let store = store(1 << 20, None);
        now(store.set("k", value("v"), Life::For(Duration::from_millis(30)))).unwrap();
        store.adopt(&Terms { name: "s".into(), shared: false, size: 2 << 20, ttl: None });
        assert_eq!(now(store.get("k")), Ok(Some(value("v"))));
        std::thread::sleep(Duration::from_millis(35));
        assert_eq!(now(store.get("k")), Ok(None));
    }
}
