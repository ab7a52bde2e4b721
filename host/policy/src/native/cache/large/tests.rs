use std::sync::mpsc;
use std::time::Duration;

use http::Response;

use super::super::counts::Counts;
use super::super::disk::QUEUE_OF_LARGE;
use super::super::entry::{Body, Times};
use super::super::flight::Turn;
use super::super::key::Keys;
use super::super::shelf::{Purge, Shelf};
use super::super::store::Found;
use super::super::storing::{Said, Terms};
use super::super::vary::Selection;
use super::super::writer::Job;
use super::*;

/// A disk of which the test is the thread.
struct Bench {
    above: tempfile::TempDir,
    shelf: Shelf,
    stored: Arc<Stored>,
    disk: Arc<Disk>,
    queue: mpsc::Receiver<Job>,
    arrivals: Arrivals,
}

impl Bench {
    fn new(size: u64) -> Self {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("a");
        let (disk, queue) = Disk::new(&path, size, 40 << 20, 2, Arc::<Counts>::default());
        let (disk, shelf) = (Arc::new(disk), Shelf::default());
        let stored = shelf.store(1 << 20, 2, Keys::default(), 0, Some(disk.clone()));
        disk.open_folder();
        Bench { above, shelf, stored, disk, queue, arrivals: Arrivals::default() }
    }

    /// A response of now.
    fn coming(&self, url: &str, headers: &[(&'static str, &'static str)]) -> Arc<Coming> {
        let url = format!("http://a/{url}");
        let (epoch, request) = (self.stored.store.epoch(&url), HeaderMap::new());
        Arc::new(Coming::new(self.stored.clone(), url, request, epoch, entry(headers)))
    }

    /// Does what there is to do.
    fn work(&mut self, now: Instant) {
        let folder = self.disk.open_folder();
        self.arrivals.tend(now);
        for job in self.queue.try_iter() {
            match job {
                Job::Large(number, step) => self.arrivals.step(number, step, folder, now).unwrap(),
                Job::Sweep => folder.sweep(),
                Job::Write(_) | Job::Close(_) | Job::End => {}
            }
        }
        self.arrivals.tend(now);
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.above.path().join("a")).unwrap().count() - 1
    }

    /// The `ETag` of what is kept of it.
    fn kept(&self, url: &str) -> Option<String> {
        let url = format!("http://a/{url}");
        match self.stored.store.find(&url, "", &HeaderMap::new(), Instant::now()).0 {
            Found::Entry(entry) => Some(entry.headers[http::header::ETAG].to_str().unwrap().to_owned()),
            Found::Pass | Found::Nothing(_) => None,
        }
    }
}

fn entry(headers: &[(&'static str, &'static str)]) -> Entry {
    let mut head = Response::new(());
    let control = ("cache-control", "max-age=600");
    for (name, value) in headers.iter().chain([&control]) {
        head.headers_mut().insert(*name, http::HeaderValue::from_static(value));
    }
    let (said, times) = (Said::of(head.headers()), Times::now(Instant::now()));
    let lifetime = said.judge(false, &head, &Terms::default(), times.received_at).unwrap();
    Entry::new(Selection::default(), &head, &said, lifetime, times)
}

fn begin(coming: &Arc<Coming>) -> Result<Spill, Refused> {
    Spill::begin(coming, None, (Vec::new(), None))
}

fn why(refused: Result<Spill, Refused>) -> String {
    match refused {
        Ok(_) => "it is not refused".to_owned(),
        Err(Refused::Request(why)) => format!("request: {why}"),
        Err(Refused::Response(why)) => format!("response: {why}"),
    }
}

const ONE: [(&str, &str); 1] = [("etag", "\"1\"")];
const TWO: [(&str, &str); 1] = [("etag", "\"2\"")];

/// Nobody reads the queue: it is as if the disk stood still.
#[test]
fn a_body_that_the_disk_falls_behind_with_is_not_kept_and_not_waited_for() {
    let mut bench = Bench::new(64 << 20);
    let (mut first, mut other) =
        (begin(&bench.coming("a", &ONE)).unwrap(), begin(&bench.coming("b", &ONE)).unwrap());
    let piece = vec![1; 1 << 20];
    let pushed = (0..40).take_while(|_| first.push(&piece).is_ok()).count();
    assert_eq!(pushed, QUEUE_OF_LARGE >> 20);
    assert_eq!(first.push(&piece), Err(Lost::Behind));
    assert_eq!(other.push(&piece), Err(Lost::Behind), "they share the queue");
    let told = why(begin(&bench.coming("c", &ONE)));
    assert_eq!(told, "request: the disk has too much to do", "for a while");
    drop((first, other));
    bench.work(Instant::now());
    assert_eq!((bench.files(), bench.disk.spills.count.load(Ordering::SeqCst)), (0, 0));
}

#[test]
fn one_that_is_too_long_is_not_kept() {
    let bench = Bench::new(64 << 20);
    let mut long = begin(&bench.coming("a", &ONE)).unwrap();
    assert_eq!(long.push(&vec![1; (40 << 20) + 1]), Err(Lost::TooLong));
    let told = Spill::begin(&bench.coming("b", &ONE), Some((40 << 20) + 1), (Vec::new(), None));
    assert_eq!(why(told), "response: too long");
}

/// Its client may have stopped to take it, and hardly take any.
#[test]
fn one_that_does_not_get_on_is_given_up() {
    let mut bench = Bench::new(64 << 20);
    let start = Instant::now();
    let (slow, quick) = (bench.coming("slow", &ONE), bench.coming("quick", &ONE));
    let (mut one, mut other) = (begin(&slow).unwrap(), begin(&quick).unwrap());
    bench.work(start);
    for half in 1..=3 {
        one.push(&[1; 64 << 10]).unwrap();
        other.push(&[1; 600 << 10]).unwrap();
        bench.work(start + Duration::from_secs(half * 14));
    }
    assert_eq!((one.push(&[1]), other.push(&[1])), (Err(Lost::GivenUp), Ok(())));
    assert_eq!(bench.files(), 1, "that of the quick one");
    assert!(begin(&bench.coming("slow", &ONE)).is_ok(), "its place is free");
}

#[test]
fn one_whose_room_others_have_taken_leaves_no_file() {
    let mut bench = Bench::new(4 << 20);
    let comings = ["a", "b"].map(|url| bench.coming(url, &ONE));
    let mut all = comings.each_ref().map(|coming| begin(coming).unwrap());
    for spill in &mut all {
        spill.push(&[1; 5 << 19]).unwrap();
        bench.work(Instant::now());
    }
    assert_eq!(bench.files(), 1);
    let [first, second] = &mut all;
    assert_eq!((first.push(&[1]), second.push(&[1])), (Err(Lost::GivenUp), Ok(())));
    assert!(bench.disk.extent().0 <= 4 << 20);
}

#[test]
fn of_the_same_one_comes_and_so_many_of_all() {
    let mut bench = Bench::new(64 << 20);
    let first = bench.coming("0", &ONE);
    let mut all = vec![begin(&first).unwrap()];
    for number in 1..MOST {
        all.push(begin(&bench.coming(&number.to_string(), &ONE)).unwrap());
    }
    let same = || why(begin(&bench.coming("0", &ONE)));
    assert_eq!(same(), "request: somebody else brings the same");
    let which = (first.key(), first.entry.selection.number());
    assert!(!bench.disk.spills.may_begin(which));
    assert_eq!(why(begin(&bench.coming("more", &ONE))), "request: too many are on their way");
    all.truncate(1);
    bench.work(Instant::now());
    assert!(!bench.disk.spills.may_begin(which), "it is on its way");
    assert!(bench.disk.spills.may_begin((7, 7)));
    assert_eq!(why(begin(&bench.coming("more", &ONE))), "it is not refused");
}

#[test]
fn a_newer_version_takes_the_place_of_an_older_one_on_its_way() {
    let mut bench = Bench::new(64 << 20);
    let (old, new) = (bench.coming("a", &ONE), bench.coming("a", &TWO));
    let (mut first, mut second) = (begin(&old).unwrap(), begin(&new).unwrap());
    assert_eq!(why(begin(&old)), "request: somebody else brings the same", "an older one does not");
    bench.work(Instant::now());
    assert_eq!((first.push(&[1]), second.push(&[1])), (Err(Lost::GivenUp), Ok(())));
    assert_eq!(bench.files(), 1);
    second.end().unwrap();
    drop(first);
    bench.work(Instant::now());
    assert_eq!(bench.kept("a").as_deref(), Some("\"2\""));
    assert_eq!(bench.disk.spills.count.load(Ordering::SeqCst), 0);
}

#[test]
fn one_that_ends_after_a_newer_one_was_kept_is_not() {
    let mut bench = Bench::new(64 << 20);
    let (before, coming) = (entry(&ONE), bench.coming("a", &ONE));
    let (url, none) = (&coming.url, &HeaderMap::new());
    for (kept, etag) in [(before, Some("\"1\"")), (entry(&TWO), Some("\"2\""))] {
        let (older, spill) = (kept.since() < coming.entry.since(), begin(&coming).unwrap());
        let store = &bench.stored.store;
        store.put(url, Arc::new(kept), none, store.epoch(url)).unwrap();
        spill.end().unwrap();
        bench.work(Instant::now());
        assert_eq!(bench.kept("a").as_deref(), etag);
        let of_disk = bench.disk.count(coming.key());
        assert_eq!(of_disk, usize::from(older), "one that came before does no harm");
        bench.disk.forget(coming.key());
    }
    // Nor if it was only seen.
    let coming = bench.coming("a", &ONE);
    let spill = begin(&coming).unwrap();
    bench.stored.store.outdate_older(&coming.url, "", none, Instant::now());
    spill.end().unwrap();
    bench.work(Instant::now());
    assert_eq!(bench.disk.count(coming.key()), 0);
}

/// What is invalidated or purged meanwhile ends at once, and nothing else.
#[test]
fn each_ends_for_what_concerns_it_alone() {
    let tagged = [ONE[0], ("cache-tag", "red")];
    for (what, gone) in [
        (None, "a"),
        (Some(Purge::Url("http://a/a".to_owned())), "a"),
        (Some(Purge::Prefix("http://a/a".to_owned())), "a"),
        (Some(Purge::Tag("red".to_owned())), "b"),
        (Some(Purge::All), "ab"),
    ] {
        let mut bench = Bench::new(64 << 20);
        let comings = [bench.coming("a", &ONE), bench.coming("b", &tagged)];
        let mut all = comings.each_ref().map(|coming| begin(coming).unwrap());
        bench.work(Instant::now());
        match &what {
            None => bench.stored.store.invalidate(&comings[0].url),
            Some(purge) => assert!(bench.shelf.purge(purge) == 0, "nothing was there yet"),
        }
        // Others are forgotten, which share the epochs of these.
        for number in 0..5000 {
            bench.stored.store.invalidate(&format!("http://a/other/{number}"));
        }
        bench.work(Instant::now());
        let ended = all.each_mut().map(|spill| spill.push(&[1]).is_err());
        assert_eq!(ended, ["a", "b"].map(|url| gone.contains(url)), "{what:?}");
        assert_eq!(bench.files(), 2 - gone.len(), "{what:?}");
        for spill in all {
            spill.end().unwrap();
        }
        bench.work(Instant::now());
        assert_eq!(["a", "b"].map(|url| bench.kept(url).is_none()), ended, "{what:?}");
    }
}

#[test]
fn one_that_was_invalidated_before_it_came_is_not_begun() {
    let bench = Bench::new(64 << 20);
    let coming = bench.coming("a", &ONE);
    bench.shelf.purge(&Purge::All);
    assert_eq!(why(begin(&coming)), "request: it was invalidated");
    assert_eq!(bench.disk.spills.count.load(Ordering::SeqCst), 0);
}

/// As long as it takes, nobody else asks the same behind an answer.
#[test]
fn the_lead_is_held_until_the_thread_is_done() {
    let mut bench = Bench::new(64 << 20);
    let flights = bench.stored.store.flights.clone();
    let Turn::Lead(lead) = flights.join(1) else { panic!("nobody leads") };
    let coming = bench.coming("a", &ONE);
    coming.lead.set(lead).unwrap();
    let mut spill = begin(&coming).unwrap();
    drop(coming);
    spill.push(&[1; 100]).unwrap();
    spill.end().unwrap();
    assert!(matches!(flights.join(1), Turn::Wait(_)));
    bench.work(Instant::now());
    assert!(matches!(flights.join(1), Turn::Lead(_)));
    assert_eq!(bench.kept("a").as_deref(), Some("\"1\""));
}

#[test]
fn what_a_validation_has_changed_is_purged_from_the_disk_as_well() {
    let mut bench = Bench::new(64 << 20);
    let coming = bench.coming("a", &[ONE[0], ("cache-tag", "red")]);
    begin(&coming).unwrap().end().unwrap();
    bench.work(Instant::now());
    let store = &bench.stored.store;
    let (url, none) = (&coming.url, &HeaderMap::new());
    let Found::Entry(kept) = store.find(url, "", none, Instant::now()).0 else { panic!("it is not kept") };
    let place = kept.body.place().unwrap();
    let validated = entry(&[ONE[0], ("cache-tag", "green")]).with_body(Body::OnDisk(place));
    store.put(url, Arc::new(validated), none, store.epoch(url)).unwrap();
    assert_eq!(bench.shelf.purge(&Purge::Tag("green".to_owned())), 1);
    assert_eq!((bench.disk.count(coming.key()), bench.files(), bench.kept("a")), (0, 0, None));
}

#[tokio::test]
async fn a_file_is_opened_once_for_all_who_read_it_and_closed_by_the_thread() {
    let mut bench = Bench::new(64 << 20);
    let coming = bench.coming("a", &ONE);
    let mut spill = begin(&coming).unwrap();
    spill.push(&[7; 100_000]).unwrap();
    spill.end().unwrap();
    bench.work(Instant::now());
    let (url, none) = (&coming.url, &HeaderMap::new());
    let find = || match bench.stored.store.find(url, "", none, Instant::now()).0 {
        Found::Entry(kept) => kept,
        Found::Pass | Found::Nothing(_) => panic!("it is not kept"),
    };
    let place = find().body.place().unwrap();
    let (one, two) = (bench.disk.open(place).await.unwrap(), bench.disk.open(place).await.unwrap());
    assert!(Arc::ptr_eq(&one, &two));
    assert_eq!(Disk::read_piece(one.clone(), 99_998, 100_000).await.unwrap(), [7, 7][..]);
    drop((one, two));
    assert!(bench.queue.try_iter().any(|job| matches!(job, Job::Close(_))));
    // A disk that does not answer is gone past: what is there stays.
    bench.disk.go_past();
    let unopened = bench.disk.open(place).await.map(drop);
    assert_eq!(unopened, Err(Unopened::Busy));
    assert!(bench.stored.store.open(url, &find()).await.is_none());
    assert_eq!(find().body.place(), Some(place));
    bench.disk.open_folder().forget(coming.key());
    assert_eq!(bench.disk.open(place).await.map(drop), Err(Unopened::Gone));
}
