//! A request's body that may have to be sent again: it is streamed at once, and what has gone by is
//! kept until the buffer is full or the head of the answer is there. Kept is the data itself, not a copy.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::body::{RequestBody, Upload, UploadError, UploadFailure, Whole};

/// So many pieces are kept at most: a body in pieces of a byte must not take many times its length.
const PIECES: usize = 1024;

/// Where the body of each try comes from.
pub enum Replay {
    Empty,
    Full(Whole),
    Stream(Rc<RefCell<Source>>),
}

/// The body from the client, and what is kept of it.
pub struct Source {
    rest: RequestBody,
    kept: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    room: Room,
    ended: bool,
    /// Which reader is the current one; one that it took the place of gets no more.
    reader: usize,
}

/// How much more can be kept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    Left(u64),
    /// Something was not kept: there is no other try.
    Lost,
}

/// The body of one try.
pub struct Reader {
    source: Rc<RefCell<Source>>,
    number: usize,
    /// How many of the pieces that are kept it has passed on.
    passed: usize,
    upload: Rc<Upload>,
}

impl Replay {
    pub fn new(body: RequestBody, buffer: u64) -> Self {
        match body {
            RequestBody::Empty => Replay::Empty,
            RequestBody::Full(whole) => Replay::Full(whole),
            // What is longer by its own account need not be begun with.
            body if body.size_hint().lower() > buffer => Self::stream(body, Room::Lost),
            body => Self::stream(body, Room::Left(buffer)),
        }
    }

    fn stream(rest: RequestBody, room: Room) -> Self {
        let (kept, trailers, ended, reader) = (Vec::new(), None, false, 0);
        Replay::Stream(Rc::new(RefCell::new(Source { rest, kept, trailers, room, ended, reader })))
    }

    /// The body from its beginning, if it still is all there. The one given out before is cut off.
    pub fn body(&self) -> Option<RequestBody> {
        match self {
            Replay::Empty => Some(RequestBody::Empty),
            Replay::Full(whole) => Some(RequestBody::Full(whole.clone())),
            Replay::Stream(source) => {
                let mut inner = source.borrow_mut();
                if inner.room == Room::Lost && inner.reader > 0 {
                    return None;
                }
                inner.reader += 1;
                let (source, number) = (source.clone(), inner.reader);
                Some(RequestBody::Replayed(Reader { source, number, passed: 0, upload: Upload::new() }))
            }
        }
    }

    /// Whether a [body](Self::body) can be had.
    pub fn is_there(&self) -> bool {
        match self {
            Replay::Empty | Replay::Full(_) => true,
            Replay::Stream(source) => {
                let source = source.borrow();
                source.room != Room::Lost || source.reader == 0
            }
        }
    }

    /// Whether all of it has come and is kept: two tries can be given it at the same time.
    pub fn is_whole(&self) -> bool {
        match self {
            Replay::Empty | Replay::Full(_) => true,
            Replay::Stream(source) => source.borrow().ended && source.borrow().room != Room::Lost,
        }
    }

    /// There will be no other try.
    pub fn keep_no_more(&self) {
        if let Replay::Stream(source) = self {
            source.borrow_mut().room = Room::Lost;
        }
    }
}

impl Reader {
    pub fn upload(&self) -> Rc<Upload> {
        self.upload.clone()
    }

    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let mut source = self.source.borrow_mut();
        if let Some(piece) = source.kept.get(self.passed) {
            self.passed += 1;
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
        if source.ended {
            let trailers = source.trailers.clone().filter(|_| self.passed == source.kept.len());
            self.passed += 1;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        if source.reader != self.number {
            return Poll::Ready(Some(Err(UploadError::Refused(UploadFailure::BrokenOff))));
        }
        let frame = ready!(Pin::new(&mut source.rest).poll_frame(context));
        source.keep(frame.as_ref().and_then(|frame| frame.as_ref().ok()));
        source.ended = frame.is_none() || source.rest.is_end_stream();
        match &frame {
            Some(Ok(_)) => self.passed = source.kept.len() + usize::from(source.trailers.is_some()),
            Some(Err(_)) => source.room = Room::Lost,
            None => {}
        }
        Poll::Ready(frame)
    }
}

impl Body for Reader {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let reader = self.get_mut();
        let frame = reader.next(context);
        reader.upload.passed(&frame, reader.is_end_stream());
        frame
    }

    fn is_end_stream(&self) -> bool {
        let source = self.source.borrow();
        let all = source.kept.len() + usize::from(source.trailers.is_some());
        self.passed >= all && (source.ended || source.rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let source = self.source.borrow();
        let kept: u64 = source.kept.iter().skip(self.passed).map(|piece| piece.len() as u64).sum();
        let rest = source.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + kept);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + kept);
        }
        hint
    }
}

impl Source {
    fn keep(&mut self, frame: Option<&Frame<Bytes>>) {
        let (Some(frame), Room::Left(room)) = (frame, self.room) else { return };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        match room.checked_sub(length).filter(|_| self.kept.len() < PIECES) {
            Some(left) => {
                self.room = Room::Left(left);
                self.kept.extend(frame.data_ref().cloned());
                self.trailers = frame.trailers_ref().cloned();
            }
            None => {
                self.room = Room::Lost;
                self.kept = Vec::new();
            }
        }
    }
}
