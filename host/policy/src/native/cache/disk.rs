//! The second tier: what is kept in memory is on the disk as well, and still there when it had to go from memory, or the
//! process ended.
//!
//! No worker waits for the disk. A thread writes; what would make it fall behind is not written. Whoever misses
//! something that the index has reads it beside its worker, once for all who ask, and it is in memory again.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Instant, SystemTime};

use limen_store::folder::{About, Folder, Key};
use tokio::sync::Semaphore;

use super::counts::Counts;
use super::entry::Entry;
use super::epoch::{Epoch, Epochs};
use super::frozen::{freeze, thaw};

/// Bytes of bodies that wait to be written, at most.
const QUEUE: usize = 32 << 20;
/// Files that are read at a time, at most.
const READERS: usize = 32;
/// What is to be forgotten before the folder is open; if it is more, all of it is.
const MOST_FORGOTTEN: usize = 10_000;

/// A folder, and who writes to it.
pub struct Disk {
    pub path: PathBuf,
    pub size: u64,
    pub variants: usize,
    /// Nothing until it is open: another process may have it still.
    folder: Arc<OnceLock<Folder>>,
    /// What is to be done with it first.
    first: Arc<Mutex<Vec<Chore>>>,
    jobs: mpsc::Sender<Job>,
    queued: Arc<AtomicUsize>,
    readers: Semaphore,
    counts: Arc<Counts>,
}

/// Something to do with the folder.
type Chore = Box<dyn FnOnce(&Folder) + Send>;
/// Which files are meant.
pub type IsSuch = Box<dyn FnMut(Key, &About<'_>) -> bool + Send>;
/// What is to be done before anybody finds anything.
struct First<'a>(MutexGuard<'a, Vec<Chore>>);

impl First<'_> {
    fn add(mut self, chore: Chore) {
        match self.0.len() {
            length if length < MOST_FORGOTTEN => self.0.push(chore),
            MOST_FORGOTTEN => self.0.push(Box::new(|folder| drop(folder.remove_such(|_, _| true)))),
            _ => {}
        }
    }
}

enum Job {
    Write { key: Key, url: Box<str>, entry: Arc<Entry>, epochs: Arc<Epochs>, epoch: Epoch },
    Sweep,
    End,
}

impl Disk {
    pub fn start(path: &Path, size: u64, variants: usize, counts: Arc<Counts>) -> std::io::Result<Arc<Self>> {
        let (jobs, queue) = mpsc::channel();
        let disk = Disk {
            path: path.to_owned(),
            size,
            variants,
            folder: Arc::default(),
            first: Arc::default(),
            jobs,
            queued: Arc::default(),
            readers: Semaphore::new(READERS),
            counts,
        };
        let writer = Writer {
            folder: disk.folder.clone(),
            first: disk.first.clone(),
            queued: disk.queued.clone(),
            counts: disk.counts.clone(),
        };
        let path = path.to_owned();
        let thread = thread::Builder::new().name("limen-cache".to_owned());
        thread.spawn(move || writer.run(&path, size, variants, &queue))?;
        Ok(Arc::new(disk))
    }

    /// How many responses of a URL it has. Asks no disk.
    pub fn count(&self, key: Key) -> usize {
        self.folder.get().map_or(0, |folder| folder.count(key))
    }

    /// Keeps it, later. It is not waited for, and not kept if there is too much to do.
    pub fn write(&self, key: Key, url: &str, entry: &Arc<Entry>, epochs: &Arc<Epochs>, epoch: Epoch) {
        let length = entry.weight();
        if self.queued.fetch_add(length, Ordering::Relaxed) + length > QUEUE {
            self.queued.fetch_sub(length, Ordering::Relaxed);
            self.counts.skipped();
            return;
        }
        entry.frozen.set();
        let (url, entry, epochs) = (url.into(), entry.clone(), epochs.clone());
        self.send(Job::Write { key, url, entry, epochs, epoch });
    }

    /// Forgets a URL: from now on nobody finds it, and soon it is gone.
    pub fn forget(&self, key: Key) {
        match self.folder() {
            Ok(folder) if folder.count(key) > 0 => {
                folder.forget(key);
                self.send(Job::Sweep);
            }
            Ok(_) => {}
            Err(first) => first.add(Box::new(move |folder| folder.forget(key))),
        }
    }

    /// Removes what is such, at once if the folder is open; answers what that was. Waits for the disk.
    pub fn purge(&self, mut is_such: IsSuch) -> HashSet<(Key, u64)> {
        match self.folder() {
            Ok(folder) => folder.remove_such(is_such),
            Err(first) => {
                first.add(Box::new(move |folder| drop(folder.remove_such(&mut is_such))));
                HashSet::new()
            }
        }
    }

    /// What is open, or what is to be done first once it is.
    fn folder(&self) -> Result<&Folder, First<'_>> {
        if let Some(folder) = self.folder.get() {
            return Ok(folder);
        }
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been opened in the meantime.
        self.folder.get().ok_or(First(first))
    }

    /// Reads what there is of a URL, beside the worker.
    pub async fn read(&self, key: Key, url: &str) -> Option<Vec<Arc<Entry>>> {
        // Who would have to wait for many others asks the upstream.
        let _permit = self.readers.try_acquire().ok()?;
        let folder = self.folder.clone();
        let read = tokio::task::spawn_blocking(move || folder.get().map(|folder| folder.read(key)));
        let read = read.await.ok()??;
        let (now, clock) = (Instant::now(), SystemTime::now());
        let entry = |(_, about, content)| {
            let (known, entry) = thaw(about, now, clock)?;
            // Two URLs may have one key.
            (known == url).then(|| Arc::new(entry.with_body(content)))
        };
        let all: Vec<_> = read.into_iter().filter_map(entry).collect();
        (!all.is_empty()).then_some(all)
    }

    /// The bytes of the disk that it takes, and how many files were damaged.
    pub fn extent(&self) -> (u64, u64) {
        self.folder.get().map_or((0, 0), Folder::extent)
    }

    fn send(&self, job: Job) {
        // Without a thread nothing is kept: that was told.
        let _ = self.jobs.send(job);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.send(Job::End);
    }
}

/// The thread.
struct Writer {
    folder: Arc<OnceLock<Folder>>,
    first: Arc<Mutex<Vec<Chore>>>,
    queued: Arc<AtomicUsize>,
    counts: Arc<Counts>,
}

impl Writer {
    fn run(&self, path: &Path, size: u64, variants: usize, queue: &mpsc::Receiver<Job>) {
        let folder = match Folder::open(path, size, variants) {
            Ok(folder) => folder,
            Err(error) => {
                return tracing::error!(
                    "the cache is in memory alone: its folder {}: {error}",
                    path.display()
                );
            }
        };
        {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            first.drain(..).for_each(|chore| chore(&folder));
            folder.sweep();
            let _ = self.folder.set(folder); // it is opened once
        }
        let Some(folder) = self.folder.get() else { return };
        let mut told = false;
        for job in queue {
            match job {
                Job::Write { key, url, entry, epochs, epoch } => {
                    self.queued.fetch_sub(entry.weight(), Ordering::Relaxed);
                    match write(folder, key, &url, &entry, || epochs.of(&url) == epoch) {
                        Ok(()) => told = false,
                        Err(error) => {
                            self.counts.skipped();
                            if !std::mem::replace(&mut told, true) {
                                tracing::warn!(
                                    "the cache can't write to its folder {}: {error}",
                                    path.display()
                                );
                            }
                        }
                    }
                }
                Job::Sweep => folder.sweep(),
                Job::End => return,
            }
        }
    }
}

/// Writes it, unless its URL was invalidated since.
fn write(
    folder: &Folder,
    key: Key,
    url: &str,
    entry: &Entry,
    is_good: impl Fn() -> bool,
) -> std::io::Result<()> {
    if !is_good() {
        return Ok(());
    }
    let about = freeze(url, entry, Instant::now(), SystemTime::now());
    folder.write(key, entry.selection.number(), &about, &entry.body)?;
    if !is_good() {
        folder.forget(key);
        folder.sweep();
    }
    Ok(())
}
