//! Bodies that are too long for memory: they go to the disk while they go by, and come from it as a stream. Of each no
//! more than a few pieces are in memory.
//!
//! Nobody waits for the disk while a body goes there: one that the thread falls behind with is not kept. Of what comes
//! from there the next piece is read, beside the worker, when the client has taken the one before.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use dashmap::DashSet;
use http::HeaderMap;
use limen_store::folder::{Folder, Key, Large, Writing};

use super::disk::Disk;
use super::entry::{Body, Entry};
use super::epoch::Epoch;
use super::fill::Room;
use super::frozen::freeze;
use super::shelf::Stored;
use super::storing::Refused;
use super::waiting::{Outdated, Waiting};
use super::writer::Job;
use crate::Source;

/// How much the thread gets at a time.
const PIECE: usize = 64 << 10;
/// How much is read at a time.
const READ: u64 = 128 << 10;
/// How many go to one disk at the same time, at most.
const MOST: usize = 64;

/// A response whose body is to come.
pub struct Coming {
    pub stored: Arc<Stored>,
    pub url: String,
    pub request: HeaderMap,
    pub epoch: Epoch,
    pub entry: Entry,
}

impl Coming {
    /// Others needn't wait for it. `is_lost`: it is not kept, and what it was to replace is out of date.
    pub fn pass(&self, is_lost: bool) {
        let replaced = is_lost.then_some(&self.request);
        let parts = &self.entry.selection.parts;
        self.stored.store.pass(&self.url, parts, replaced, Instant::now());
    }

    fn key(&self) -> Key {
        self.stored.store.key(&self.url)
    }
}

/// Which responses are on their way to the disk: of those that are the same one at a time.
#[derive(Default)]
pub struct Spills {
    last: AtomicU64,
    claimed: Arc<DashSet<(Key, u64)>>,
}

struct Claim {
    claimed: Arc<DashSet<(Key, u64)>>,
    which: (Key, u64),
}

impl Spills {
    fn claim(&self, which: (Key, u64)) -> Result<Claim, Refused> {
        if self.claimed.len() >= MOST {
            return Err(Refused::Response("too many are on their way"));
        }
        match self.claimed.insert(which) {
            true => Ok(Claim { claimed: self.claimed.clone(), which }),
            false => Err(Refused::Request("somebody else brings the same")),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claimed.remove(&self.which);
    }
}

/// A body on its way to the disk, as its worker has it. Dropped before its end, nothing is kept.
pub struct Spill {
    disk: Arc<Disk>,
    number: u64,
    piece: Vec<u8>,
    length: u64,
    most: u64,
    /// The thread has given it up.
    is_lost: Arc<AtomicBool>,
    has_ended: bool,
}

/// Why a body is not kept after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    TooLong,
    /// The disk is slower than it comes.
    Behind,
    /// The thread has given it up, and done what there is to do.
    GivenUp,
}

/// What the thread is to do for one.
pub enum Step {
    Begin(Box<Begin>),
    Piece(Vec<u8>),
    End,
    Stop,
}

impl Step {
    /// What it takes while it waits, in bytes.
    pub fn length(&self) -> usize {
        match self {
            Step::Piece(piece) => piece.len(),
            Step::Begin(_) | Step::End | Step::Stop => 0,
        }
    }
}

pub struct Begin {
    coming: Arc<Coming>,
    /// Of its body, if that is known.
    length: Option<u64>,
    /// What there is of it already, and the room in memory that this takes.
    head_start: (Vec<u8>, Option<Room>),
    is_lost: Arc<AtomicBool>,
    outdated: Outdated,
    claim: Claim,
}

impl Spill {
    pub fn begin(
        coming: &Arc<Coming>,
        length: Option<u64>,
        most: u64,
        head_start: (Vec<u8>, Option<Room>),
    ) -> Result<Self, Refused> {
        let disk = coming.stored.store.disk.as_ref().filter(|disk| disk.is_open());
        let so_far = head_start.0.len() as u64;
        let disk = disk.filter(|_| length.unwrap_or(0).max(so_far) <= most);
        let disk = disk.ok_or(Refused::Response("too long"))?.clone();
        let key = coming.key();
        let claim = disk.spills.claim((key, coming.entry.selection.number()))?;
        let (coming, is_lost, outdated) = (coming.clone(), Arc::default(), disk.waiting.add(key));
        let begin = Begin { coming, length, head_start, is_lost: Arc::clone(&is_lost), outdated, claim };
        let number = disk.spills.last.fetch_add(1, Ordering::Relaxed);
        disk.send(Job::Large(number, Step::Begin(Box::new(begin))));
        Ok(Spill { disk, number, piece: Vec::new(), length: so_far, most, is_lost, has_ended: false })
    }

    /// The next of it.
    pub fn push(&mut self, mut data: &[u8]) -> Result<(), Lost> {
        self.length += data.len() as u64;
        if self.length > self.most {
            return Err(Lost::TooLong);
        }
        if self.is_lost.load(Ordering::Relaxed) {
            return Err(Lost::GivenUp);
        }
        while !data.is_empty() {
            let (now, later) = data.split_at(data.len().min(PIECE - self.piece.len()));
            self.piece.reserve_exact(PIECE - self.piece.len());
            self.piece.extend_from_slice(now);
            data = later;
            if self.piece.len() == PIECE {
                self.send()?;
            }
        }
        Ok(())
    }

    /// That was all of it.
    pub fn end(mut self) -> Result<(), Lost> {
        self.send()?;
        self.has_ended = true;
        self.disk.send(Job::Large(self.number, Step::End));
        Ok(())
    }

    fn send(&mut self) -> Result<(), Lost> {
        let piece = std::mem::take(&mut self.piece);
        if !self.disk.may_queue(piece.len()) {
            return Err(Lost::Behind);
        }
        self.disk.send(Job::Large(self.number, Step::Piece(piece)));
        Ok(())
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        if !self.has_ended {
            self.disk.send(Job::Large(self.number, Step::Stop));
        }
    }
}

/// Those that are being written, as the thread has them.
#[derive(Default)]
pub struct Arrivals(HashMap<u64, Arrival>);

struct Arrival {
    coming: Arc<Coming>,
    writing: Writing,
    is_lost: Arc<AtomicBool>,
    outdated: Outdated,
    _claim: Claim,
}

impl Arrivals {
    /// Does the next step of one.
    pub fn step(&mut self, number: u64, step: Step, folder: &Folder, waiting: &Waiting) -> io::Result<()> {
        match step {
            Step::Begin(begin) => {
                let Begin { coming, length, head_start: (head_start, room), is_lost, outdated, claim } =
                    *begin;
                let writing = begun(&coming, length, &head_start, folder);
                drop((head_start, room));
                match writing {
                    Ok(Some(writing)) => {
                        self.0.insert(number, Arrival { coming, writing, is_lost, outdated, _claim: claim });
                        Ok(())
                    }
                    other => lose(&coming, &is_lost, &outdated, waiting, other.map(drop)),
                }
            }
            Step::Piece(piece) => {
                let Some(arrival) = self.0.remove(&number) else { return Ok(()) };
                let Arrival { coming, writing, is_lost, outdated, _claim } = arrival;
                match folder.write_large(writing, &piece) {
                    Ok(Some(writing)) => {
                        self.0.insert(number, Arrival { coming, writing, is_lost, outdated, _claim });
                        Ok(())
                    }
                    other => lose(&coming, &is_lost, &outdated, waiting, other.map(drop)),
                }
            }
            Step::End => match self.0.remove(&number) {
                Some(arrival) => arrival.finish(folder, waiting),
                None => Ok(()),
            },
            Step::Stop => {
                if let Some(Arrival { coming, outdated, .. }) = self.0.remove(&number) {
                    waiting.done(coming.key(), &outdated);
                }
                Ok(())
            }
        }
    }
}

fn begun(
    coming: &Coming,
    length: Option<u64>,
    head_start: &[u8],
    folder: &Folder,
) -> io::Result<Option<Writing>> {
    let about = freeze(&coming.url, &coming.entry, Instant::now(), SystemTime::now());
    let variant = coming.entry.selection.number();
    match folder.begin_large(coming.key(), variant, &about, length)? {
        Some(writing) => folder.write_large(writing, head_start),
        None => Ok(None),
    }
}

/// There is no room for it, or the disk has failed.
fn lose(
    coming: &Coming,
    is_lost: &AtomicBool,
    outdated: &Outdated,
    waiting: &Waiting,
    why: io::Result<()>,
) -> io::Result<()> {
    is_lost.store(true, Ordering::Relaxed);
    waiting.done(coming.key(), outdated);
    coming.pass(true);
    if why.is_ok() {
        coming.stored.counts.skipped();
    }
    why
}

impl Arrival {
    /// It is all there: from now on it is found, unless its URL was invalidated since.
    fn finish(self, folder: &Folder, waiting: &Waiting) -> io::Result<()> {
        let Arrival { coming, writing, is_lost, outdated, _claim } = self;
        let Coming { stored, url, request, epoch, entry } = &*coming;
        let (store, key) = (&stored.store, coming.key());
        let was_outdated = outdated.is_set();
        waiting.done(key, &outdated);
        let epoch = if was_outdated { None } else { store.make_way(url, &entry.selection, request, *epoch) };
        let Some(epoch) = epoch else { return Ok(()) };
        let outdated = waiting.add(key);
        let is_good = || store.epoch(url) == epoch && !outdated.is_set();
        let place = match folder.finish_large(writing, is_good) {
            Ok(place) => place,
            Err(error) => return lose(&coming, &is_lost, &outdated, waiting, Err(error)),
        };
        if is_good() {
            let entry = entry.with_body(Body::OnDisk(place));
            entry.frozen.set();
            if store.set(url, Arc::new(entry), request, epoch).is_some() {
                stored.counts.stored();
            }
        } else {
            folder.forget(key);
            folder.sweep();
        }
        waiting.done(key, &outdated);
        Ok(())
    }
}

/// A body on the disk that is open, to answer with.
#[derive(Clone)]
pub struct Opened {
    pub disk: Arc<Disk>,
    pub file: Arc<Large>,
}

impl Opened {
    /// The body from here to there.
    pub fn stream(&self, from: u64, to: u64) -> FromDisk {
        FromDisk { opened: self.clone(), at: from, end: to, reading: None }
    }
}

/// A body, or a part of one, on its way from the disk.
pub struct FromDisk {
    opened: Opened,
    at: u64,
    end: u64,
    reading: Option<Reading>,
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send + Sync>>;

impl Source for FromDisk {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        let (opened, from, end) = (&self.opened, self.at, self.end);
        let reading = self.reading.get_or_insert_with(|| {
            // To where blocks end, so that each is read once.
            let to = ((from / READ + 1) * READ).min(end);
            Box::pin(opened.disk.read_piece(opened.file.clone(), from, to))
        });
        let read = ready!(reading.as_mut().poll(context));
        self.reading = None;
        Poll::Ready(Some(match read {
            Ok(piece) if piece.is_empty() => Err("what is kept is shorter than it was".to_owned()),
            Ok(piece) => {
                self.at += piece.len() as u64;
                Ok(piece)
            }
            Err(error) => Err(format!("what is kept on the disk can't be read: {error}")),
        }))
    }

    fn left(&self) -> u64 {
        self.end.saturating_sub(self.at)
    }
}

impl fmt::Debug for FromDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromDisk").field("at", &self.at).field("end", &self.end).finish_non_exhaustive()
    }
}
