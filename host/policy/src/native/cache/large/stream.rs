//! Bodies on their way from the disk.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use limen_store::folder::{Large, Place};

use super::super::disk::Disk;
use super::super::writer::Job;
use crate::Source;

/// How much is read at a time.
const READ: u64 = 128 << 10;

/// A body on the disk that is open, to answer with.
pub type Opened = Arc<OpenFile>;

/// A file that is open, once for all who read it. When the last one is done the thread closes it: if the file was removed
/// meanwhile, that takes as long as it takes to free all of it.
pub struct OpenFile {
    pub disk: Arc<Disk>,
    pub place: Place,
    file: Option<Large>,
}

/// Why one was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unopened {
    Gone,
    /// It is there, and can't be had now.
    Busy,
}

impl OpenFile {
    pub fn new(disk: Arc<Disk>, file: Large) -> Self {
        OpenFile { disk, place: file.place(), file: Some(file) }
    }

    /// Waits for the disk.
    pub fn read(&self, from: u64, to: u64) -> io::Result<Bytes> {
        self.file.as_ref().map_or_else(|| Err(io::ErrorKind::NotFound.into()), |file| file.read(from, to))
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.disk.closed(self.place);
        if let Some(file) = self.file.take() {
            self.disk.send(Job::Close(file));
        }
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

impl FromDisk {
    /// The body from here to there.
    pub fn new(opened: Opened, from: u64, to: u64) -> Self {
        FromDisk { opened, at: from, end: to, reading: None }
    }
}

impl Source for FromDisk {
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        if self.at >= self.end {
            return Poll::Ready(None);
        }
        let (opened, from, end) = (&self.opened, self.at, self.end);
        let reading = self.reading.get_or_insert_with(|| {
            // To where blocks end, so that each is read once.
            let to = ((from / READ + 1) * READ).min(end);
            Box::pin(Disk::read_piece(opened.clone(), from, to))
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
