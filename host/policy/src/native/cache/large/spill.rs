//! The worker's side of a body on its way to the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::disk::Disk;
use super::super::fill::Room;
use super::super::storing::Refused;
use super::super::writer::Job;
use super::{Claim, Coming};

/// How much the thread gets at a time.
const PIECE: usize = 64 << 10;
/// How long no other body is begun when the thread has fallen behind.
const RESPITE: Duration = Duration::from_secs(2);

/// A body on its way to the disk, as its worker has it. Dropped before its end, nothing is kept.
pub struct Spill {
    disk: Arc<Disk>,
    number: u64,
    piece: Vec<u8>,
    length: u64,
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
    pub(super) claim: Claim,
    /// Of its body, if that is known.
    pub(super) length: Option<u64>,
    /// What there is of it already, and the room in memory that this takes.
    pub(super) head_start: (Vec<u8>, Option<Room>),
    pub(super) is_lost: Arc<AtomicBool>,
}

impl Spill {
    pub fn begin(
        coming: &Arc<Coming>,
        length: Option<u64>,
        head_start: (Vec<u8>, Option<Room>),
    ) -> Result<Self, Refused> {
        let store = &coming.stored.store;
        let disk = store.disk.as_ref().filter(|disk| disk.is_open());
        let so_far = head_start.0.len() as u64;
        let disk = disk.filter(|disk| length.unwrap_or(0).max(so_far) <= disk.longest);
        let disk = disk.ok_or(Refused::Response("too long"))?.clone();
        if disk.is_busy() {
            coming.stored.counts.skipped();
            return Err(Refused::Request("the disk has too much to do"));
        }
        let claim = Claim::take(&disk, coming)?;
        // From now on it is told; before, nobody could.
        if store.epoch(&coming.url) != coming.epoch {
            return Err(Refused::Request("it was invalidated"));
        }
        let is_lost = Arc::<AtomicBool>::default();
        let begin = Begin { claim, length, head_start, is_lost: is_lost.clone() };
        let number = disk.spills.last.fetch_add(1, Ordering::Relaxed);
        disk.send(Job::Large(number, Step::Begin(Box::new(begin))));
        Ok(Spill { disk, number, piece: Vec::new(), length: so_far, is_lost, has_ended: false })
    }

    /// The next of it.
    pub fn push(&mut self, mut data: &[u8]) -> Result<(), Lost> {
        self.length += data.len() as u64;
        if self.length > self.disk.longest {
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
            self.disk.behind.begin(RESPITE);
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
