//! The second tier: what is kept in memory is on the disk as well, and still there when it had to go from memory, or the
//! process ended.
//!
//! No worker waits for the disk. A thread writes; what would make it fall behind is not written. Whoever misses
//! something that the index has reads it beside its worker, once for all who ask, and it is in memory again.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use dashmap::DashMap;
use limen_store::folder::{About, Content, Folder, Key, Place};
use tokio::sync::Semaphore;

use super::counts::Counts;
use super::entry::{Body, Entry};
use super::epoch::{Epoch, Epochs};
use super::first::First;
use super::frozen::thaw;
use super::large::{Coming, OpenFile, Opened, Spills, Unopened};
use super::pause::Pause;
use super::waiting::Waiting;
use super::writer::{Job, Write, Writer};

/// Bytes that wait to be written, at most.
const QUEUE: usize = 32 << 20;
/// Of these, of bodies that are too long for memory.
pub const QUEUE_OF_LARGE: usize = QUEUE / 2;
/// Bytes that are read at a time, at most; each who reads counts as this many at least.
const READING: u32 = 64 << 20;
const LEAST_READ: u64 = 2 << 20;
/// How many pieces of bodies that are too long for memory are read at a time, at most, or such are opened: each takes a thread
/// as long as the disk takes.
const PIECES: usize = 64;
/// How long a piece of a body is waited for, which breaks off then;
const FOR_PIECE: Duration = Duration::from_secs(30);
/// and how long requests go past a disk that did not answer in time.
const PAST: Duration = Duration::from_secs(10);
/// Bytes that are read of one URL, at most; but what was written last is read however long it is.
const MOST_READ: u64 = 16 << 20;

/// A folder, and who writes to it.
pub struct Disk {
    pub path: PathBuf,
    pub size: u64,
    /// The longest body that is kept.
    pub longest: u64,
    pub variants: usize,
    /// Nothing until it is open: another process may have it still.
    folder: Arc<OnceLock<Folder>>,
    /// What is to be done with it first.
    first: Arc<Mutex<First>>,
    jobs: mpsc::Sender<Job>,
    queued: Arc<AtomicUsize>,
    pub waiting: Arc<Waiting>,
    pub spills: Spills,
    /// The thread has too much to do, or the disk does not answer.
    pub behind: Pause,
    past: Pause,
    /// The files that are read.
    opened: DashMap<Place, Weak<OpenFile>>,
    /// One for each byte.
    reading: Arc<Semaphore>,
    pieces: Arc<Semaphore>,
    counts: Arc<Counts>,
}

/// Which responses are meant.
pub type IsSuch = Box<dyn FnMut(Key, &Told<'_>) -> bool + Send>;

/// A response to be looked at.
pub enum Told<'a> {
    File(&'a About<'a>),
    /// It is on its way there.
    Coming(&'a Coming),
}

impl Told<'_> {
    /// Its URL, and the response but for its body. What can't be read is of no use to anybody.
    pub fn read(&self) -> Option<(String, Entry)> {
        match self {
            Told::File(about) => thaw(about.read()?, Instant::now(), SystemTime::now()),
            Told::Coming(coming) => Some((coming.url.clone(), coming.entry.clone())),
        }
    }

    pub fn variant(&self) -> u64 {
        match self {
            Told::File(about) => about.variant(),
            Told::Coming(coming) => coming.entry.selection.number(),
        }
    }
}

impl Disk {
    /// `longest`: no body that is longer is kept.
    pub fn start(
        path: &Path,
        size: u64,
        longest: u64,
        variants: usize,
        counts: Arc<Counts>,
    ) -> io::Result<Arc<Self>> {
        let (disk, queue) = Disk::new(path, size, longest, variants, counts);
        let writer = Writer {
            folder: disk.folder.clone(),
            first: disk.first.clone(),
            queued: disk.queued.clone(),
            waiting: disk.waiting.clone(),
            counts: disk.counts.clone(),
        };
        let path = path.to_owned();
        let thread = thread::Builder::new().name("limen-cache".to_owned());
        thread.spawn(move || writer.run(&path, size, variants, &queue))?;
        Ok(Arc::new(disk))
    }

    /// And what is to be done by the thread.
    pub fn new(
        path: &Path,
        size: u64,
        longest: u64,
        variants: usize,
        counts: Arc<Counts>,
    ) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, queue) = mpsc::channel();
        let disk = Disk {
            path: path.to_owned(),
            size,
            longest,
            variants,
            folder: Arc::default(),
            first: Arc::default(),
            jobs,
            queued: Arc::default(),
            waiting: Arc::default(),
            spills: Spills::default(),
            behind: Pause::default(),
            past: Pause::default(),
            opened: DashMap::new(),
            reading: Arc::new(Semaphore::new(READING as usize)),
            pieces: Arc::new(Semaphore::new(PIECES)),
            counts,
        };
        (disk, queue)
    }

    pub fn is_open(&self) -> bool {
        self.folder.get().is_some()
    }

    /// How many responses of a URL it has. Asks no disk.
    pub fn count(&self, key: Key) -> usize {
        self.folder.get().map_or(0, |folder| folder.count(key))
    }

    /// Whether nothing is to be read of it for a while.
    pub fn is_past(&self) -> bool {
        self.past.is_on()
    }

    /// It does not answer in time.
    pub fn go_past(&self) {
        self.past.begin(PAST);
    }

    /// Whether no body that is too long for memory is to come for a while.
    pub fn is_busy(&self) -> bool {
        self.behind.is_on() || self.is_past()
    }

    /// Keeps it, later. It is not waited for, and not kept if there is too much to do: what it was to replace goes then.
    pub fn write(&self, key: Key, url: &str, entry: &Arc<Entry>, epochs: &Arc<Epochs>, epoch: Epoch) {
        let length = entry.weight() + url.len();
        if entry.body.length() > self.longest {
            return self.forget_written(key);
        }
        if self.queued.fetch_add(length, Ordering::Relaxed) + length > QUEUE {
            self.queued.fetch_sub(length, Ordering::Relaxed);
            self.counts.skipped();
            return self.forget_written(key);
        }
        entry.frozen.set();
        let (url, entry, epochs) = (url.into(), entry.clone(), epochs.clone());
        let outdated = self.waiting.add(key);
        self.send(Job::Write(Write { key, url, entry, epochs, epoch, outdated, length }));
    }

    /// Whether so much more of a body that is too long for memory may wait to be written.
    pub fn may_queue(&self, length: usize) -> bool {
        let may = self.queued.fetch_add(length, Ordering::Relaxed) + length <= QUEUE_OF_LARGE;
        if !may {
            self.queued.fetch_sub(length, Ordering::Relaxed);
        }
        may
    }

    /// Forgets a URL: from now on nobody finds it, and soon it is gone.
    pub fn forget(&self, key: Key) {
        self.spills.outdate(key);
        self.forget_written(key);
    }

    /// And not what is on its way and too long for memory.
    pub fn forget_written(&self, key: Key) {
        // An older one of it may still wait, or be written at this moment.
        self.waiting.outdate(key);
        match self.folder() {
            Ok(folder) if folder.count(key) > 0 => {
                folder.forget(key);
                self.send(Job::Sweep);
            }
            Ok(_) => {}
            Err(mut first) => first.forget(key),
        }
    }

    /// Removes what is such, at once if the folder is open; answers what that was. Waits for the disk.
    pub fn purge(&self, mut is_such: IsSuch) -> HashSet<(Key, u64)> {
        // What waits nobody has looked at; and of the stores that it is from some may be gone.
        self.waiting.outdate_all();
        self.spills.outdate_such(|key, coming| is_such(key, &Told::Coming(coming)));
        match self.folder() {
            Ok(folder) => folder.remove_such(|key, about| is_such(key, &Told::File(about))),
            Err(mut first) => {
                first.purge(is_such);
                HashSet::new()
            }
        }
    }

    /// Removes at once what was forgotten. Waits for the disk.
    pub fn sweep(&self) {
        if let Some(folder) = self.folder.get() {
            folder.sweep();
        }
    }

    /// What is open, or what is to be done first once it is.
    fn folder(&self) -> Result<&Folder, MutexGuard<'_, First>> {
        if let Some(folder) = self.folder.get() {
            return Ok(folder);
        }
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been opened in the meantime.
        self.folder.get().ok_or(first)
    }

    /// Reads what there is of a URL, beside the worker.
    pub async fn read(&self, key: Key, url: &str) -> Option<Vec<Arc<Entry>>> {
        let bytes = self.folder.get()?.length(key).clamp(LEAST_READ, MOST_READ);
        // Who would have to wait for many others asks the upstream.
        let permit = self.reading.clone().try_acquire_many_owned(u32::try_from(bytes).ok()?).ok()?;
        let folder = self.folder.clone();
        // It is given back when that is done, also if nobody waits for it any more.
        let read = move || Some((folder.get()?.read(key, MOST_READ), permit));
        let (read, _permit) = tokio::task::spawn_blocking(read).await.ok()??;
        let (now, clock) = (Instant::now(), SystemTime::now());
        let entry = |(_, about, content)| {
            let (known, entry) = thaw(about, now, clock)?;
            let body = match content {
                Content::Read(bytes) => Body::Here(bytes),
                Content::Stays(place) => Body::OnDisk(place),
            };
            // Two URLs may have one key.
            (known == url).then(|| Arc::new(entry.with_body(body)))
        };
        let all: Vec<_> = read.into_iter().filter_map(entry).collect();
        (!all.is_empty()).then_some(all)
    }

    /// Opens a body that is too long for memory, beside the worker, if nobody has it open.
    pub async fn open(self: &Arc<Self>, place: Place) -> Result<Opened, Unopened> {
        let has = |folder: &Folder| folder.has(place);
        if !self.folder.get().is_some_and(has) {
            return Err(Unopened::Gone);
        }
        if self.is_past() {
            return Err(Unopened::Busy);
        }
        if let Some(opened) = self.opened.get(&place).and_then(|opened| opened.upgrade()) {
            return Ok(opened);
        }
        let permit = self.pieces.clone().acquire_owned().await.map_err(|_| Unopened::Busy)?;
        let disk = self.clone();
        // It is given back when that is done, also if nobody waits for it any more.
        let open = move || {
            let file = disk.folder.get()?.open_large(place).ok()?;
            let opened = Arc::new(OpenFile::new(disk.clone(), file));
            disk.opened.insert(place, Arc::downgrade(&opened));
            Some((opened, permit))
        };
        match tokio::task::spawn_blocking(open).await {
            Ok(Some((opened, _permit))) => Ok(opened),
            _ if self.folder.get().is_some_and(has) => Err(Unopened::Busy),
            _ => Err(Unopened::Gone),
        }
    }

    /// Nobody reads one of its files any more.
    pub fn closed(&self, place: Place) {
        self.opened.remove_if(&place, |_, opened| opened.strong_count() == 0);
    }

    /// Reads a part of one, beside the worker, who waits for it only so long. One that is damaged is forgotten.
    pub fn read_piece(
        file: Opened,
        from: u64,
        to: u64,
    ) -> impl Future<Output = io::Result<Bytes>> + Send + Sync + use<> {
        let disk = file.disk.clone();
        let reading = async move {
            let permit = file.disk.pieces.clone().acquire_owned().await.map_err(io::Error::other)?;
            // It is given back when that is done, also if nobody waits for it any more.
            let read = move || {
                let read = file.read(from, to);
                if let (Err(error), Some(folder)) = (&read, file.disk.folder.get()) {
                    folder.lose_large(file.place, error);
                }
                (read, permit)
            };
            tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?.0
        };
        async move {
            let read = tokio::time::timeout(FOR_PIECE, reading).await;
            read.unwrap_or_else(|_| {
                disk.go_past();
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("it takes longer than {FOR_PIECE:?}")))
            })
        }
    }

    /// The bytes of the disk that it takes, and how many files were damaged.
    pub fn extent(&self) -> (u64, u64) {
        self.folder.get().map_or((0, 0), Folder::extent)
    }

    #[cfg(test)]
    pub fn open_folder(&self) -> &Folder {
        self.folder.get_or_init(|| Folder::open(&self.path, self.size, self.variants).unwrap())
    }

    pub fn send(&self, job: Job) {
        // Without a thread nothing is kept: that was told.
        let _ = self.jobs.send(job);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.send(Job::End);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    fn entry(body: usize) -> Arc<Entry> {
        let (none, now) = (HeaderMap::new(), (Duration::ZERO, Instant::now()));
        let entry =
            Entry::thawed(Default::default(), StatusCode::OK, none, Default::default(), Vec::new(), now);
        Arc::new(entry.with_body(Body::Here(vec![0; body].into())))
    }

    fn eventually(is_so: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is_so() {
            assert!(Instant::now() < end);
            thread::yield_now();
        }
    }

    #[test]
    fn what_is_not_written_is_not_there_as_it_was_before() {
        let above = tempfile::tempdir().unwrap();
        let disk = Disk::start(&above.path().join("a"), 64 << 20, u64::MAX, 2, Arc::default()).unwrap();
        let epochs = Arc::<Epochs>::default();
        let write = |epoch, body| disk.write(7, "u", &entry(body), &epochs, epoch);
        write(epochs.of("u"), 10);
        eventually(|| disk.count(7) == 1);
        write(epochs.of("u"), QUEUE);
        assert_eq!(disk.count(7), 0, "there is too much to do");
        let old = epochs.of("u");
        write(old, 10);
        eventually(|| disk.count(7) == 1);
        epochs.end("u");
        write(old, 10);
        eventually(|| disk.count(7) == 0);
    }

    #[test]
    fn what_waits_is_not_there_once_a_newer_one_could_not_be_written() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("a");
        // As long as another one has the folder, all waits.
        let other = Folder::open(&path, 64 << 20, 2).unwrap();
        let disk = Disk::start(&path, 64 << 20, u64::MAX, 2, Arc::default()).unwrap();
        let epochs = Arc::<Epochs>::default();
        let write = |key, body| disk.write(key, "u", &entry(body), &epochs, epochs.of("u"));
        write(7, 10);
        write(7, QUEUE);
        write(8, 10);
        drop(other);
        eventually(|| disk.count(8) == 1);
        assert_eq!(disk.count(7), 0, "it is older than what memory has");
    }

    #[test]
    fn what_can_not_wait_takes_no_room() {
        let above = tempfile::tempdir().unwrap();
        let (disk, queue) = Disk::new(&above.path().join("a"), 64 << 20, u64::MAX, 2, Arc::default());
        let epochs = Arc::<Epochs>::default();
        let write = |key, entry| disk.write(key, "u", entry, &epochs, epochs.of("u"));
        let (short, too_long) = (entry(10), entry(QUEUE));
        write(7, &short);
        for key in 0..1_000 {
            write(key, &too_long);
            write(7, &too_long);
        }
        assert_eq!(disk.waiting.len(), 0, "and what waits is outdated");
        assert_eq!(queue.try_iter().count(), 1);
    }

    #[test]
    fn a_body_that_is_too_long_is_not_written_nor_is_an_older_one_there() {
        let above = tempfile::tempdir().unwrap();
        let disk = Disk::start(&above.path().join("a"), 64 << 20, 100, 2, Arc::default()).unwrap();
        let epochs = Arc::<Epochs>::default();
        let write = |body| disk.write(7, "u", &entry(body), &epochs, epochs.of("u"));
        write(100);
        eventually(|| disk.count(7) == 1);
        write(101);
        assert_eq!((disk.count(7), disk.waiting.len()), (0, 0));
    }

    /// The stores that they are from may be gone: their epochs are ended by nobody.
    #[test]
    fn what_waits_is_not_written_once_it_was_forgotten_or_all_was_purged() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("a");
        let other = Folder::open(&path, 64 << 20, 2).unwrap();
        let disk = Disk::start(&path, 64 << 20, u64::MAX, 2, Arc::default()).unwrap();
        let epochs = Arc::<Epochs>::default();
        let write = |key| disk.write(key, "u", &entry(10), &epochs, epochs.of("u"));
        write(6);
        disk.purge(Box::new(|_, _| false));
        write(7);
        write(8);
        disk.forget(7);
        drop(other);
        eventually(|| disk.count(8) == 1);
        assert_eq!((disk.count(6), disk.count(7)), (0, 0));
    }

    #[test]
    fn what_is_forgotten_before_the_folder_is_open_is_not_found() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("a");
        let before = Folder::open(&path, 1 << 20, 2).unwrap();
        for key in 1..=3 {
            before.write(key, 1, b"", b"", || true).unwrap();
        }
        let disk = Disk::start(&path, 1 << 20, u64::MAX, 2, Arc::default()).unwrap();
        for _ in 0..20_000 {
            disk.forget(1);
        }
        disk.purge(Box::new(|key, _| key == 2));
        drop(before);
        eventually(|| disk.count(3) == 1);
        assert_eq!((disk.count(1), disk.count(2)), (0, 0));
    }
}
