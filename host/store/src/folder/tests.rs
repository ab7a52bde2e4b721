use super::*;
use std::os::unix::fs::PermissionsExt;

fn open(above: &tempfile::TempDir, size: u64) -> Folder {
    Folder::open(&above.path().join("cache"), size, 2).unwrap()
}

fn contents(folder: &Folder, key: Key) -> Vec<String> {
    let read = folder.read(key, u64::MAX).into_iter();
    read.map(|(variant, about, content)| {
        let content = match content {
            Content::Read(content) => content,
            Content::Stays(place) => folder.open_large(place).unwrap().read(0, u64::MAX).unwrap(),
        };
        format!("{variant} {} {}", str::from_utf8(&about).unwrap(), str::from_utf8(&content).unwrap())
    })
    .collect()
}

fn files(above: &tempfile::TempDir) -> usize {
    fs::read_dir(above.path().join("cache")).unwrap().count() - 1
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let above = tempfile::tempdir().unwrap();
    let folder = open(&above, 1 << 20);
    for (variant, content) in [(1, "old"), (2, "two"), (1, "new")] {
        folder.write(7, variant, b"a", content.as_bytes(), || true).unwrap();
    }
    folder.write(8, 1, b"", b"", || true).unwrap();
    let both = ["1 a new", "2 a two"];
    assert_eq!((contents(&folder, 7), files(&above)), (both.map(str::to_owned).to_vec(), 3));
    drop(folder);
    let half = above
        .path()
        .join("cache")
        .join(format!("{UNFINISHED}{}", Name { key: 9, variant: 1, serial: 99, is_large: true }.text()));
    fs::write(&half, "half").unwrap();
    fs::write(above.path().join("cache/notes.txt"), "not its own").unwrap();
    let folder = open(&above, 1 << 20);
    assert_eq!(contents(&folder, 7), both);
    assert!(!half.exists() && above.path().join("cache/notes.txt").exists());
    folder.write(7, 3, b"a", b"three", || true).unwrap();
    assert_eq!(contents(&folder, 7), ["3 a three", "1 a new"], "no more than so many variants");
    folder.forget(7);
    assert_eq!((folder.count(7), folder.count(8)), (0, 1));
    folder.sweep();
    assert_eq!(files(&above), 2, "that of 8, and the notes");
}

#[test]
fn its_size_is_bounded_and_what_was_used_last_stays() {
    let above = tempfile::tempdir().unwrap();
    let folder = open(&above, 10 * BLOCK);
    for key in 0..30 {
        folder.write(key, 0, b"", &[1; 3000], || true).unwrap();
        assert_eq!(folder.read(0, u64::MAX).len(), 1, "{key}");
    }
    assert!((8..=10).contains(&files(&above)), "{}", files(&above));
    assert!(folder.extent().0 <= 10 * BLOCK);
    folder.write(99, 0, b"", &vec![1; 11 * BLOCK as usize], || true).unwrap();
    assert_eq!(folder.count(99), 0, "longer than all of it");
    drop(folder);
    assert!(open(&above, 5 * BLOCK).extent().0 <= 5 * BLOCK && files(&above) <= 5, "a smaller one");
}

#[test]
fn what_can_not_be_written_is_not_there_as_it_was_before() {
    let above = tempfile::tempdir().unwrap();
    let folder = open(&above, 10 * BLOCK);
    let write = |content: &[u8], is_good: bool| folder.write(7, 1, b"a", content, || is_good);
    write(b"old", true).unwrap();
    write(b"new", false).unwrap();
    assert_eq!((contents(&folder, 7), files(&above)), (vec!["1 a old".to_owned()], 1), "it is not good");
    write(&vec![1; 11 * BLOCK as usize], true).unwrap();
    assert_eq!((folder.count(7), files(&above)), (0, 0), "it is too long");
    write(b"old", true).unwrap();
    fs::remove_dir_all(above.path().join("cache")).unwrap();
    assert!(write(b"new", true).is_err());
    assert_eq!(folder.count(7), 0);
}

#[test]
fn no_more_is_read_than_is_wanted_but_the_first() {
    let above = tempfile::tempdir().unwrap();
    let folder = open(&above, 1 << 20);
    for variant in 1..=2 {
        folder.write(7, variant, b"", &[1; 3 * BLOCK as usize], || true).unwrap();
    }
    assert_eq!(folder.length(7), 8 * BLOCK);
    let read = |most| folder.read(7, most).into_iter().map(|(variant, ..)| variant).collect::<Vec<_>>();
    assert_eq!((read(0), read(7 * BLOCK), read(8 * BLOCK)), (vec![2], vec![2], vec![2, 1]));
}

#[test]
fn a_damaged_file_is_none_and_goes() {
    let above = tempfile::tempdir().unwrap();
    let folder = open(&above, 1 << 20);
    folder.write(7, 1, b"a", b"content", || true).unwrap();
    let mut paths = fs::read_dir(above.path().join("cache")).unwrap().map(|entry| entry.unwrap().path());
    let path = paths.find(|path| !path.ends_with(LOCK)).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(contents(&folder, 7), Vec::<String>::new());
    assert!(!path.exists() && folder.count(7) == 0 && folder.extent().1 == 1);
    // One that somebody has removed is nothing to speak of.
    folder.write(7, 1, b"a", b"content", || true).unwrap();
    fs::remove_dir_all(above.path().join("cache")).unwrap();
    assert!(folder.read(7, u64::MAX).is_empty() && folder.extent().1 == 1);
}

#[test]
fn those_are_removed_that_are_such() {
    let above = tempfile::tempdir().unwrap();
    let folder = open(&above, 1 << 20);
    for (key, about) in [(1, "a"), (2, "b"), (3, "a")] {
        folder.write(key, 5, about.as_bytes(), b"", || true).unwrap();
    }
    let removed = folder.remove_such(|_, about| about.read().is_some_and(|about| about == "a"));
    assert_eq!(removed, [(1, 5), (3, 5)].into());
    assert_eq!(files(&above), 1);
    assert_eq!(folder.remove_such(|key, _| key == 2).len(), 1);
}

#[test]
fn a_folder_of_others_is_not_used() {
    let above = tempfile::tempdir().unwrap();
    drop(open(&above, 1 << 20));
    let path = above.path().join("cache");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    assert!(Folder::open(&path, 1, 1).is_err());
}

fn large(folder: &Folder, key: Key, variant: u64, content: &[u8], length: Option<u64>) -> Option<Place> {
    let mut writing = folder.begin_large(key, variant, b"a", length).unwrap()?;
    for piece in content.chunks(100_000) {
        writing = folder.write_large(writing, piece).unwrap()?;
    }
    Some(folder.finish_large(writing, || true).unwrap())
}

#[test]
fn a_large_one_is_one_of_them() {
    let above = tempfile::tempdir().unwrap();
    let folder = open(&above, 1 << 20);
    folder.write(7, 1, b"a", b"old", || true).unwrap();
    folder.write(7, 2, b"a", b"two", || true).unwrap();
    let text = "text ".repeat(40_000);
    let place = large(&folder, 7, 1, text.as_bytes(), Some(200_000)).unwrap();
    let both = [format!("1 a {text}"), "2 a two".to_owned()];
    assert_eq!((contents(&folder, 7), files(&above), place.length()), (both.to_vec(), 2, 200_000));
    assert_eq!((folder.length(7), folder.extent().0), (2 * BLOCK, 50 * BLOCK), "little of it is read");
    let open_one = folder.open_large(place).unwrap();
    drop(folder);
    let folder = open(&above, 1 << 20);
    assert_eq!(contents(&folder, 7), both);
    assert_eq!(folder.remove_such(|_, about| about.read().is_some_and(|about| about == "a")).len(), 2);
    assert!(folder.open_large(place).is_err_and(|error| error.kind() == ErrorKind::NotFound));
    assert_eq!((files(&above), open_one.read(3, 9).unwrap()), (0, "t text".into()), "it is open");
    let lost = large(&folder, 7, 1, text.as_bytes(), None).unwrap();
    folder.lose_large(lost, &ErrorKind::InvalidData.into());
    assert_eq!((folder.count(7), files(&above), folder.extent().1), (0, 0, 1));
}

#[test]
fn what_is_being_written_takes_its_room_from_others() {
    let above = tempfile::tempdir().unwrap();
    let folder = open(&above, 400 * BLOCK);
    let content = vec![1; 300 * BLOCK as usize];
    for length in [Some(content.len() as u64), None] {
        for key in 0..200 {
            folder.write(key, 0, b"", &[1; 5000], || true).unwrap();
        }
        assert_eq!(files(&above), 200, "two blocks each");
        let mut writing = folder.begin_large(999, 1, b"", length).unwrap().unwrap();
        for piece in content.chunks(30_000) {
            writing = folder.write_large(writing, piece).unwrap().unwrap();
            assert!(folder.extent().0 <= 400 * BLOCK);
        }
        let before = files(&above);
        assert!((30..=50).contains(&before), "{before}");
        assert_eq!(folder.remove_such(|_, _| false).len(), 0);
        folder.finish_large(writing, || true).unwrap();
        assert_eq!((files(&above), folder.count(999)), (before, 1));
        folder.forget(999);
    }
    // Neither is room taken for what is given up, nor for what is too long for all of it.
    drop(folder.begin_large(999, 1, b"", Some(300 * BLOCK)).unwrap().unwrap());
    assert!(folder.extent().0 <= 100 * BLOCK);
    assert!(folder.begin_large(999, 1, b"", Some(401 * BLOCK)).unwrap().is_none());
    assert_eq!(large(&folder, 999, 1, &vec![1; 401 * BLOCK as usize], None), None);
    let two = [1, 2].map(|key| {
        let writing = folder.begin_large(key, 1, b"", Some(300 * BLOCK)).unwrap().unwrap();
        folder.write_large(writing, &vec![1; 300 * BLOCK as usize]).unwrap().unwrap()
    });
    assert_eq!(two.each_ref().map(Writing::has_room), [false, true]);
    let [first, second] = two.map(|writing| folder.write_large(writing, b"more").unwrap().is_some());
    assert_eq!((first, second), (false, true), "it went for the other one");
}

/// What never comes takes nothing away.
#[test]
fn others_go_for_what_is_written_only_as_it_comes() {
    let above = tempfile::tempdir().unwrap();
    let folder = open(&above, 400 * BLOCK);
    for key in 0..200 {
        folder.write(key, 0, b"", &[1; 5000], || true).unwrap();
    }
    let writing = folder.begin_large(999, 1, b"", Some(390 * BLOCK)).unwrap().unwrap();
    let writing = folder.write_large(writing, &[1; 10 * BLOCK as usize]).unwrap().unwrap();
    drop(writing);
    assert!(files(&above) >= 190, "{}", files(&above));
}

/// There may be too many open ones, or nobody may read it: that says nothing of what is in it.
#[test]
fn a_file_that_is_not_read_for_another_reason_stays() {
    let above = tempfile::tempdir().unwrap();
    let folder = open(&above, 1 << 20);
    let place = large(&folder, 7, 1, b"text", None).unwrap();
    folder.lose_large(place, &ErrorKind::PermissionDenied.into());
    folder.lose_large(place, &io::Error::from_raw_os_error(24));
    assert!(folder.has(place) && folder.extent().1 == 0);
    folder.lose_large(place, &io::Error::from_raw_os_error(EIO));
    assert!(!folder.has(place) && folder.extent().1 == 1);
}
