//! A copy of a body that goes by, as far as whoever reads it keeps up.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::request::{Upload, UploadError, UploadFailure};

/// Where the pieces are copied from. Dropped before the end, it cuts the copy off.
pub struct Tap(Rc<Queue>);

/// The copy. Trailers are not copied.
pub struct Copied {
    queue: Rc<Queue>,
    /// How far the original has come.
    upload: Rc<Upload>,
    /// How long it is, if that is known.
    left: Option<u64>,
}

struct Queue {
    pieces: RefCell<VecDeque<Bytes>>,
    /// Bytes in them, and how many there may be.
    held: Cell<u64>,
    bound: u64,
    end: Cell<End>,
    reader: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may come.
    Open,
    /// What is there is all.
    Whole,
    /// The rest is missing.
    CutOff,
}

/// Both ends of a copy that may lag behind by `bound` bytes.
pub fn pair(bound: u64, upload: Rc<Upload>, length: SizeHint) -> (Tap, Copied) {
    let queue = Rc::new(Queue {
        pieces: RefCell::default(),
        held: Cell::new(0),
        bound,
        end: Cell::new(End::Open),
        reader: RefCell::default(),
    });
    (Tap(queue.clone()), Copied { queue, upload, left: length.exact() })
}

/// What a piece counts for: a short one keeps more in memory than its own length.
fn weight(piece: &Bytes) -> u64 {
    const LEAST: u64 = 256;
    (piece.len() as u64).max(LEAST)
}

impl Tap {
    /// What the original was just given, and whether it was the last of it.
    pub fn went_by<E>(&self, frame: &Option<Result<Frame<Bytes>, E>>, is_end: bool) {
        match frame {
            Some(Ok(frame)) => frame.data_ref().into_iter().for_each(|piece| self.piece(piece)),
            Some(Err(_)) => self.0.finish(End::CutOff),
            None => {}
        }
        if is_end {
            self.0.finish(End::Whole);
        }
    }

    /// A piece is shared with the original, and kept no longer than the bound allows.
    fn piece(&self, piece: &Bytes) {
        let queue = &self.0;
        let held = queue.held.get() + weight(piece);
        if queue.end.get() != End::Open || Rc::strong_count(queue) == 1 {
            return;
        }
        if held > queue.bound {
            queue.pieces.borrow_mut().clear();
            return queue.finish(End::CutOff);
        }
        queue.held.set(held);
        queue.pieces.borrow_mut().push_back(piece.clone());
        queue.wake();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.0.finish(End::CutOff);
    }
}

impl Queue {
    fn finish(&self, end: End) {
        if self.end.get() == End::Open {
            self.end.set(end);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }
}

impl Copied {
    pub fn upload(&self) -> Rc<Upload> {
        self.upload.clone()
    }
}

impl Body for Copied {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Copied { queue, left, .. } = &mut *self;
        if let Some(piece) = queue.pieces.borrow_mut().pop_front() {
            queue.held.set(queue.held.get().saturating_sub(weight(&piece)));
            *left = left.map(|left| left.saturating_sub(piece.len() as u64));
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match queue.end.get() {
            End::Whole => Poll::Ready(None),
            End::CutOff => Poll::Ready(Some(Err(UploadError::Refused(UploadFailure::BrokenOff)))),
            End::Open => {
                *queue.reader.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.queue.end.get() == End::Whole && self.queue.pieces.borrow().is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(bound: u64) -> (Tap, Copied) {
        super::pair(bound, Upload::new(), SizeHint::default())
    }

    fn give(tap: &Tap, is_end: bool) {
        tap.went_by::<()>(&Some(Ok(Frame::data(Bytes::from_static(b"abc")))), is_end);
    }

    fn read(copied: &mut Copied) -> Vec<Option<Bytes>> {
        let mut context = Context::from_waker(Waker::noop());
        let mut read = vec![];
        while let Poll::Ready(Some(frame)) = Pin::new(&mut *copied).poll_frame(&mut context) {
            let broken = frame.is_err();
            read.push(frame.ok().and_then(|frame| frame.into_data().ok()));
            if broken {
                break;
            }
        }
        read
    }

    #[test]
    fn a_reader_that_keeps_up_has_all_of_it() {
        let (tap, mut copied) = pair(256);
        for n in 0..100 {
            give(&tap, n == 99);
            assert_eq!(read(&mut copied), [Some(Bytes::from_static(b"abc"))]);
        }
        drop(tap);
        assert!(copied.is_end_stream() && read(&mut copied).is_empty());
    }

    #[test]
    fn one_that_does_not_is_cut_off_and_holds_nothing() {
        let (tap, mut copied) = pair(500);
        give(&tap, false);
        give(&tap, true);
        assert!(tap.0.pieces.borrow().is_empty());
        assert_eq!(read(&mut copied), [None]);
        assert!(!copied.is_end_stream());
    }

    #[test]
    fn a_body_that_breaks_off_takes_its_copy_along() {
        let (tap, mut copied) = pair(256);
        give(&tap, false);
        drop(tap);
        assert_eq!(read(&mut copied), [Some(Bytes::from_static(b"abc")), None]);
    }
}
