use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;

impl Journal {
    fn length(&self) -> u64 {
        match &self.lock().keeping {
            Keeping::File(file) => file.length(),
            _ => 0,
        }
    }
}

fn put(journal: &Journal, key: &str, value: &str) {
    let mut changes = Changes::default();
    changes.put("t", key.to_owned(), value.to_owned());
    journal.write(changes).unwrap();
}

fn all(journal: &Journal) -> Vec<(String, String)> {
    let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    journal.entries("t").into_iter().map(|(key, value)| (text(key), text(value))).collect()
}

fn break_it(journal: &Journal) {
    if let Keeping::File(file) = &mut journal.lock().keeping {
        file.break_it();
    }
}

fn wait_until(what: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !what() {
        assert!(Instant::now() < end, "it never is");
        thread::yield_now();
    }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limen/state.db");
    (folder, path)
}

#[test]
fn what_is_written_is_there_again() {
    let (_folder, path) = place();
    let journal = Journal::open(&path).unwrap();
    put(&journal, "a", "1");
    put(&journal, "b", "2");
    let mut changes = Changes::default();
    changes.put("t", "a", "3");
    changes.remove("t", "b");
    changes.put("other", "b", "");
    journal.write(changes).unwrap();
    let check = |journal: &Journal| {
        assert_eq!(all(journal), [("a".to_owned(), "3".to_owned())]);
        assert_eq!(journal.get("other", b"b").as_deref(), Some(&b""[..]));
        assert_eq!(journal.get("t", b"b"), None);
    };
    check(&journal);
    drop(journal);
    check(&Journal::open(&path).unwrap());
}

#[test]
fn a_file_that_is_cut_off_anywhere_has_all_that_was_acknowledged_before() {
    let (_folder, path) = place();
    let journal = Journal::open(&path).unwrap();
    let mut acknowledged = vec![(fs::metadata(&path).unwrap().len(), 0)];
    for number in 1..=12 {
        put(&journal, &format!("key {number:02}"), &"x".repeat(number * 3));
        acknowledged.push((fs::metadata(&path).unwrap().len(), number));
    }
    drop(journal);
    let whole = fs::read(&path).unwrap();
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let journal = Journal::open(&path).unwrap();
        let before =
            acknowledged.iter().filter(|(length, _)| *length <= cut as u64).map(|(_, number)| *number);
        let there = all(&journal);
        assert_eq!(there.len(), before.max().unwrap_or(0), "cut off at {cut}");
        put(&journal, "one more", "1");
        drop(journal);
        let again = all(&Journal::open(&path).unwrap());
        assert_eq!((again.len(), &again[..there.len()]), (there.len() + 1, &there[..]), "goes on at {cut}");
    }
}

#[test]
fn bytes_that_changed_are_found_and_told() {
    let (_folder, path) = place();
    let journal = Journal::open(&path).unwrap();
    for number in 1..=3 {
        put(&journal, &format!("key {number}"), "some value");
    }
    drop(journal);
    let whole = fs::read(&path).unwrap();
    let record = (whole.len() - 16) / 3;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(&path, &bytes).unwrap();
        match Journal::open(&path) {
            Err(JournalError::Foreign { .. }) => assert!(at < 16, "{at}"),
            Err(error @ JournalError::Damaged { .. }) => {
                assert!((16..16 + 2 * record).contains(&at), "{at}");
                assert!(error.hint().unwrap().contains("truncate --size="));
            }
            // The last one could be a write that was cut off.
            Ok(journal) => assert!(at >= 16 + 2 * record && all(&journal).len() == 2, "{at}"),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn zeros_that_a_crash_left_at_the_end_are_no_change() {
    let (_folder, path) = place();
    put(&Journal::open(&path).unwrap(), "a", "1");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend([0; 5000]);
    fs::write(&path, bytes).unwrap();
    assert_eq!(all(&Journal::open(&path).unwrap()).len(), 1);
}

#[test]
fn history_is_left_behind() {
    let (_folder, path) = place();
    let journal = Journal::open(&path).unwrap();
    put(&journal, "kept", "1");
    let mut longest = 0;
    for number in 0..40 {
        put(&journal, "counter", &format!("{number}{}", "x".repeat(100_000)));
        longest = longest.max(fs::metadata(&path).unwrap().len());
    }
    assert!(longest < 2 << 20, "{longest}");
    drop(journal);
    let there = all(&Journal::open(&path).unwrap());
    assert_eq!(there.len(), 2);
    assert!(there[0].1.starts_with("39x"));
}

#[test]
fn a_write_that_fails_is_not_acknowledged_and_the_next_one_mends_it() {
    let (_folder, path) = place();
    let journal = Journal::open(&path).unwrap();
    put(&journal, "a", "1");
    break_it(&journal);
    let mut changes = Changes::default();
    changes.put("t", "b", "2");
    assert!(matches!(journal.write(changes), Err(JournalError::Io { .. })));
    assert_eq!(all(&journal).len(), 1);
    put(&journal, "c", "3");
    drop(journal);
    let there = all(&Journal::open(&path).unwrap());
    assert_eq!(there.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["a", "c"]);
}

#[test]
fn one_process_has_it_and_one_user() {
    let (_folder, path) = place();
    let journal = Journal::open(&path).unwrap();
    put(&journal, "a", "1");
    assert!(matches!(Journal::open(&path), Err(JournalError::Taken { .. })));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));

    journal.hand_over();
    let heir = Journal::open(&path).unwrap();
    assert!(matches!(journal.write(one("b")), Err(JournalError::HandedOver)));
    assert_eq!(all(&journal).len(), 1, "it can still be read");
    put(&heir, "c", "3");
    drop(heir);
    journal.take_back().unwrap();
    put(&journal, "d", "4");
    assert_eq!(all(&journal).len(), 3);
    drop(journal);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::Open { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "something else entirely").unwrap();
    assert!(matches!(Journal::open(&path), Err(JournalError::Foreign { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "something else entirely", "and it is left alone");
}

fn one(key: &'static str) -> Changes {
    let mut changes = Changes::default();
    changes.put("t", key, "1");
    changes
}

fn note(journal: &Journal, key: &str, value: &str) {
    let mut changes = Changes::default();
    changes.put("t", key.to_owned(), value.to_owned());
    journal.note(changes).unwrap();
}

#[test]
fn what_is_noted_outlives_the_process_and_is_written_with_the_next_change() {
    let (folder, path) = place();
    let recent = folder.path().join("limen/state.db.recent");
    let journal = Journal::open(&path).unwrap();
    let length = || fs::metadata(&path).unwrap().len();
    let before = length();
    for number in 0..5 {
        note(&journal, "count", &number.to_string());
        note(&journal, &format!("key {number}"), "1");
    }
    assert_eq!((all(&journal).len(), length()), (6, before));
    drop(journal); // as when it is killed
    let again = Journal::open(&path).unwrap();
    assert_eq!((all(&again).len(), again.get("t", b"count").as_deref()), (6, Some(&b"4"[..])));
    assert!(length() > before, "what was recent is written at once");
    note(&again, "count", "5");
    put(&again, "more", "1");
    assert_eq!(fs::metadata(&recent).unwrap().len(), 0);
    drop(again);
    assert_eq!(Journal::open(&path).unwrap().get("t", b"count").as_deref(), Some(&b"5"[..]));
}

#[test]
fn what_is_recent_of_an_older_journal_or_is_damaged_is_passed_over() {
    let (folder, path) = place();
    let recent = folder.path().join("limen/state.db.recent");
    let journal = Journal::open(&path).unwrap();
    note(&journal, "count", "1");
    let old = fs::read(&recent).unwrap();
    note(&journal, "count", "2");
    let whole = fs::read(&recent).unwrap();
    put(&journal, "more", "1");
    drop(journal);
    fs::write(&recent, &whole).unwrap();
    let journal = Journal::open(&path).unwrap();
    assert_eq!(journal.get("t", b"count").as_deref(), Some(&b"2"[..]));
    note(&journal, "count", "3");
    drop(journal);
    // As a crash of the machine may leave it: what was cleared is there again.
    fs::write(&recent, &old).unwrap();
    let journal = Journal::open(&path).unwrap();
    assert_eq!(journal.get("t", b"count").as_deref(), Some(&b"2"[..]));
    note(&journal, "count", "4");
    let whole = fs::read(&recent).unwrap();
    drop(journal);
    fs::write(&recent, [&whole[..whole.len() - 1], b"x"].concat()).unwrap();
    let journal = Journal::open(&path).unwrap();
    assert_eq!((all(&journal).len(), journal.get("t", b"count").as_deref()), (2, Some(&b"2"[..])));
}

#[test]
fn a_table_that_is_empty_is_none() {
    let journal = Journal::nowhere();
    put(&journal, "a", "1");
    put(&journal, "b", "2");
    let tables = || journal.lock().tables.by_name.len();
    journal.forget("t", |value| value == b"1").unwrap();
    assert_eq!((all(&journal).len(), tables()), (1, 1));
    journal.forget("other", |_| true).unwrap();
    assert_eq!(tables(), 1);
    journal.forget("t", |_| true).unwrap();
    assert_eq!((tables(), journal.lock().tables.size), (0, 0));
}

#[test]
fn who_notes_waits_for_no_disk_and_all_of_it_is_one_record() {
    let (folder, path) = place();
    let journal = Journal::open(&path).unwrap();
    put(&journal, "before", "1");
    let before = journal.length();
    let disk = lock(&journal.shared.writing); // it takes its time
    for number in 0..5 {
        note(&journal, &format!("key {number}"), "1");
    }
    // Killed now, this is there.
    let killed = folder.path().join("killed");
    fs::copy(&path, &killed).unwrap();
    fs::copy(folder.path().join("limen/state.db.recent"), folder.path().join("killed.recent")).unwrap();
    for file in ["killed", "killed.recent"] {
        fs::set_permissions(folder.path().join(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(all(&Journal::open(&killed).unwrap()).len(), 6);
    drop(disk);
    wait_until(|| journal.lock().unsaved.is_none());
    let bytes = Bytes::from(fs::read(&path).unwrap());
    let (changes, end) = record::decode(&bytes, before as usize).unwrap();
    assert_eq!((changes.0.len(), end), (5, bytes.len()));
}

#[test]
fn what_is_noted_while_the_file_is_written_is_in_the_next_one() {
    let (_folder, path) = place();
    let journal = Journal::open(&path).unwrap();
    let mut last = 0;
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for round in 0..40 {
                put(&journal, "written", &round.to_string());
                journal.shared.rewrite().unwrap();
            }
        });
        while !writing.is_finished() {
            last += 1;
            note(&journal, "noted", &last.to_string());
        }
    });
    let check = |journal: &Journal| {
        assert_eq!(journal.get("t", b"noted").unwrap(), last.to_string());
        assert_eq!(journal.get("t", b"written").unwrap(), "39");
    };
    check(&journal);
    drop(journal);
    check(&Journal::open(&path).unwrap());
}

#[test]
fn while_the_disk_fails_nothing_piles_up_and_all_is_written_when_it_does_not() {
    let (folder, path) = place();
    let journal = Journal::open(&path).unwrap();
    break_it(&journal);
    let in_the_way = folder.path().join("limen/state.db.new");
    fs::create_dir(&in_the_way).unwrap();
    for round in 0..3 {
        (0..100).for_each(|number| note(&journal, &format!("{round}/{number}"), "1"));
        assert!(matches!(journal.write(one("b")), Err(JournalError::Io { .. })));
        assert!(journal.lock().pending.0.len() < 100, "what is in the tables is enough");
    }
    fs::remove_dir(&in_the_way).unwrap();
    wait_until(|| journal.lock().unsaved.is_none() && !journal.lock().is_given_up());
    assert!(all(&journal).len() == 300 && journal.length() > 300, "nobody had to ask for it");
    drop(journal);
    assert_eq!(all(&Journal::open(&path).unwrap()).len(), 300);
}

#[test]
fn what_was_noted_last_keeps_nobody_from_opening() {
    let (folder, path) = place();
    let recent = folder.path().join("limen/state.db.recent");
    let journal = Journal::open(&path).unwrap();
    put(&journal, "a", "1");
    note(&journal, "b", "1");
    drop(journal);
    // The disk is full.
    let (mut file, mut tables) = LogFile::open(&path).unwrap();
    file.note(&one("c"));
    file.break_it();
    file.take_up(&mut tables);
    assert!(file.is_given_up() && tables.by_name["t"].len() == 3);
    let journal = Journal::of(&path, Inner { tables, keeping: Keeping::File(file), ..Inner::default() });
    put(&journal, "d", "1");
    note(&journal, "e", "1");
    drop(journal);
    // Others can read it: nothing of it is believed.
    fs::set_permissions(&recent, fs::Permissions::from_mode(0o644)).unwrap();
    let journal = Journal::open(&path).unwrap();
    assert_eq!(all(&journal).len(), 4);
    note(&journal, "f", "1");
    drop(journal);
    assert_eq!(all(&Journal::open(&path).unwrap()).len(), 5, "and it is made anew");
}
