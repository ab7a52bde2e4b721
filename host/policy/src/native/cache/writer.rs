//! Who writes to the disk, and what there is to do.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use limen_store::folder::{Folder, Key, Large};

use super::counts::Counts;
use super::entry::{Body, Entry};
use super::epoch::{Epoch, Epochs};
use super::first::First;
use super::frozen::freeze;
use super::large::{Arrivals, Step};
use super::waiting::{Outdated, Waiting};

/// How often it is looked whether bodies on their way get on, where there is nothing else to do.
const TEND: Duration = Duration::from_secs(5);

pub enum Job {
    Write(Write),
    /// The next step of a response whose body is too long for memory, by its number.
    Large(u64, Step),
    Sweep,
    /// A file that nobody reads any more.
    Close(Large),
    End,
}

/// What is to be written.
pub struct Write {
    pub key: Key,
    pub url: Box<str>,
    pub entry: Arc<Entry>,
    pub epochs: Arc<Epochs>,
    pub epoch: Epoch,
    pub outdated: Outdated,
    /// What it takes while it waits, in bytes.
    pub length: usize,
}

/// The thread.
pub struct Writer {
    pub folder: Arc<OnceLock<Folder>>,
    pub first: Arc<Mutex<First>>,
    pub queued: Arc<AtomicUsize>,
    pub waiting: Arc<Waiting>,
    pub counts: Arc<Counts>,
}

impl Writer {
    pub fn run(&self, path: &Path, size: u64, variants: usize, queue: &mpsc::Receiver<Job>) {
        let folder = match Folder::open(path, size, variants) {
            Ok(folder) => folder,
            Err(error) => {
                return tracing::error!(
                    "the cache is in memory alone: its folder {}: {error}",
                    path.display()
                );
            }
        };
        let Some(folder) = self.publish(folder) else { return };
        let (mut told, mut arrivals) = (false, Arrivals::default());
        loop {
            let job = match queue.recv_timeout(TEND) {
                Ok(job) => Some(job),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            arrivals.tend(Instant::now());
            let Some(job) = job else { continue };
            let written = match job {
                Job::Write(write) => {
                    self.queued.fetch_sub(write.length, Ordering::Relaxed);
                    let written = write.run(folder);
                    self.waiting.done(write.key, &write.outdated);
                    written
                }
                Job::Large(number, step) => {
                    self.queued.fetch_sub(step.length(), Ordering::Relaxed);
                    arrivals.step(number, step, folder, Instant::now())
                }
                Job::Sweep => {
                    folder.sweep();
                    continue;
                }
                Job::Close(file) => {
                    drop(file);
                    continue;
                }
                Job::End => return,
            };
            match written {
                Ok(()) => told = false,
                Err(error) => {
                    self.counts.skipped();
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!("the cache can't write to its folder {}: {error}", path.display());
                    }
                }
            }
        }
    }

    /// Makes what is there be found, but for what was forgotten before.
    fn publish(&self, folder: Folder) -> Option<&Folder> {
        loop {
            let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
            if first.is_nothing() {
                let _ = self.folder.set(folder); // it is opened once
                return self.folder.get();
            }
            let now = std::mem::take(&mut *first);
            drop(first); // workers want it
            now.run(&folder);
        }
    }
}

impl Write {
    /// Unless its URL was invalidated since, or it is outdated; then what it was to replace goes as well.
    fn run(&self, folder: &Folder) -> std::io::Result<()> {
        let is_good = || self.epochs.of(&self.url) == self.epoch && !self.outdated.is_set();
        if is_good() {
            // What stays on the disk is there already.
            if let Body::Here(body) = &self.entry.body {
                let about = freeze(&self.url, &self.entry, Instant::now(), SystemTime::now());
                folder.write(self.key, self.entry.selection.number(), &about, body, is_good)?;
            }
        }
        if !is_good() {
            folder.forget(self.key);
            folder.sweep();
        }
        Ok(())
    }
}
