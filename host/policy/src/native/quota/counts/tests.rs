use std::time::Instant;

use super::*;

const WINDOW: Window = Window { start: 60, end: 120 };
const TABLE: &str = "quota/test";

fn open(journal: &Arc<Journal>, keys: usize) -> Counts {
    Counts::open("test", journal.clone(), keys, WINDOW)
}

fn counts(keys: usize) -> Counts {
    open(&Arc::new(Journal::nowhere()), keys)
}

/// The journal has what is counted, and nothing else.
fn wait_until_saved(counts: &Counts, journal: &Journal) {
    let end = Instant::now() + Duration::from_secs(10);
    let mut counted: Vec<_> =
        counts.used(WINDOW, usize::MAX).iter().map(|(key, _)| key.as_bytes().to_vec()).collect();
    counted.sort_unstable();
    while !journal.entries(TABLE).iter().map(|(key, _)| key).eq(&counted) {
        let kept = journal.entries(TABLE).len();
        assert!(Instant::now() < end, "{kept} are kept of {}", counted.len());
        thread::yield_now();
    }
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
fn what_is_dropped_leaves_the_journal() {
    let journal = Arc::new(Journal::nowhere());
    let counts = open(&journal, 100);
    for numbers in [0..100, 100..1000] {
        for number in numbers {
            counts.take(&number.to_string(), WINDOW, 1, 5);
        }
        wait_until_saved(&counts, &journal);
    }
    let next = Window { start: 120, end: 180 };
    counts.resize(1);
    counts.take("next", next, 1, 5);
    assert_eq!(counts.used(next, 9), [(Arc::from("next"), 1)], "what is over goes first");
}

#[test]
fn what_is_over_or_too_much_is_not_opened() {
    let journal = Arc::new(Journal::nowhere());
    let mut changes = Changes::default();
    let mut put = |key: String, start, used| {
        changes.put(TABLE, key.into_bytes(), Count { used, ..Count::new(start) }.encode());
    };
    put("over".to_owned(), 0, 50);
    put("most".to_owned(), WINDOW.start, 50);
    put("later".to_owned(), WINDOW.end, 50);
    (0..30).for_each(|number| put(number.to_string(), WINDOW.start, 1));
    journal.write(changes).unwrap();
    let all = open(&journal, 40);
    assert_eq!(all.used(WINDOW, 99).len(), 32, "all that is not over");
    let some = open(&journal, 10);
    assert!(some.used(WINDOW, 99).len() <= 10);
    assert_eq!(some.used_by("most", WINDOW), 50, "the least used go first");
    assert_eq!(journal.entries(TABLE).len(), 33, "nothing is counted yet");
    some.take("most", WINDOW, 1, 60);
    wait_until_saved(&some, &journal);
}

#[test]
fn what_no_quota_counts_any_more_is_forgotten_whosever_it_was() {
    let journal = Journal::nowhere();
    let now = Calendar::new(Period::Minute, TimeZone::UTC).now().start;
    let mut changes = Changes::default();
    changes.put("quota/removed", "old", Count::new(now - PAST).encode());
    changes.put("quota/removed", "nonsense", "?");
    changes.put(TABLE, "old", Count::new(now - PAST).encode());
    changes.put(TABLE, "of this month", Count::new(now - PAST + 60).encode());
    changes.put(TABLE, "of a clock that is ahead", Count::new(now + PAST).encode());
    changes.put("keys", "old", Count::new(0).encode());
    journal.write(changes).unwrap();
    forget_the_past(&journal).unwrap();
    let left = |table| journal.entries(table).len();
    assert_eq!((left("quota/removed"), left(TABLE), left("keys")), (0, 2, 1));
}

#[test]
fn what_was_counted_is_there_again() {
    let journal = Arc::new(Journal::nowhere());
    let before = open(&journal, 10);
    before.take("ada", WINDOW, 7, 10);
    drop(before);
    while journal.get(TABLE, b"ada").is_none() {
        thread::yield_now();
    }
    let after = open(&journal, 10);
    assert_eq!(after.used(WINDOW, 9), [(Arc::from("ada"), 7)]);
    after.take("eve", WINDOW, 1, 10);
    after.save();
    assert!(journal.get(TABLE, b"eve").is_some(), "at once");
    assert!(after.are_in(&journal) && !after.are_in(&Arc::new(Journal::nowhere())));
}

#[test]
fn what_is_counted_while_another_process_has_the_journal_is_kept_when_it_gives_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::open(&folder.path().join("state.db")).unwrap());
    let counts = open(&journal, 10);
    let is_kept = |key: &str, used| {
        journal.get(TABLE, key.as_bytes()) == Some(Count { used, ..Count::new(60) }.encode().into())
    };
    let wait = |key: &str, used| {
        let end = Instant::now() + Duration::from_secs(10);
        while !is_kept(key, used) {
            assert!(Instant::now() < end, "{key}: {used}");
            thread::yield_now();
        }
    };
    counts.take("ada", WINDOW, 1, 9);
    wait("ada", 1);
    journal.hand_over();
    counts.take("ada", WINDOW, 1, 9);
    counts.take("eve", WINDOW, 1, 9);
    let mut keys = BTreeSet::from(["ada".into(), "eve".into()]);
    assert!(!counts.inner.note(&journal, &mut keys), "nothing can be noted");
    assert_eq!(keys.len(), 2, "it is for the next time");
    assert!(is_kept("ada", 1));
    journal.take_back().unwrap();
    wait("ada", 2);
    wait("eve", 1);
}
