//! Bodies, of requests and of answers: whole ones, large ones made up as they go, and fed ones.
//!
//! Large bodies repeat a pattern whose length is prime, so that a lost, doubled or misplaced piece
//! shows: see [`Checked`].

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Any body of the kit.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body in one piece.
pub fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body without content.
pub fn empty() -> Body {
    full(Bytes::new())
}

/// `length` bytes of the pattern, never in memory at once, sent with `content-length`.
pub fn sized(length: u64) -> Body {
    Pattern { sent: 0, length, announced: true }.boxed_unsync()
}

/// `length` bytes of the pattern, never in memory at once, their number not told beforehand.
pub fn chunked(length: u64) -> Body {
    Pattern { sent: 0, length, announced: false }.boxed_unsync()
}

/// A body that the test feeds piece by piece; it ends when the [`Feed`] is dropped.
pub fn fed() -> (Feed, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (Feed(sender), Fed(receiver).boxed_unsync())
}

/// The writing end of a [`fed`] body.
pub struct Feed(mpsc::Sender<io::Result<Bytes>>);

impl Feed {
    /// Hands over one piece, once the one before has been taken; false if nobody wants it any more.
    pub async fn send(&self, piece: impl Into<Bytes>) -> bool {
        self.0.send(Ok(piece.into())).await.is_ok()
    }

    /// Breaks the body off: the connection is closed in the middle of it.
    pub async fn fail(self) {
        let _ = self.0.send(Err(io::Error::other("the test broke off here"))).await;
    }
}

/// Counts arriving pieces and compares them with the pattern.
#[derive(Default)]
pub struct Checked {
    /// How many bytes have arrived.
    pub bytes: u64,
}

impl Checked {
    /// Takes the next piece; an error if it isn't what the pattern has there.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), String> {
        let mut rest = piece;
        while !rest.is_empty() {
            let start = (self.bytes % PERIOD) as usize;
            let (now, later) = rest.split_at(rest.len().min(PATTERN.len() - start));
            if now != &PATTERN[start..start + now.len()] {
                return Err(format!("the body is not the pattern, somewhere after byte {}", self.bytes));
            }
            self.bytes += now.len() as u64;
            rest = later;
        }
        Ok(())
    }
}

const PERIOD: u64 = 251;

static PATTERN: [u8; PERIOD as usize * 256] = {
    let mut bytes = [0; PERIOD as usize * 256];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at % PERIOD as usize) as u8;
        at += 1;
    }
    bytes
};

struct Pattern {
    sent: u64,
    length: u64,
    announced: bool,
}

impl HttpBody for Pattern {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let start = (self.sent % PERIOD) as usize;
        let piece = (PATTERN.len() - start).min((self.length - self.sent).try_into().unwrap_or(usize::MAX));
        if piece == 0 {
            return Poll::Ready(None);
        }
        self.sent += piece as u64;
        let bytes = Bytes::from_static(&PATTERN).slice(start..start + piece);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.length
    }

    fn size_hint(&self) -> SizeHint {
        if self.announced { SizeHint::with_exact(self.length - self.sent) } else { SizeHint::default() }
    }
}

struct Fed(mpsc::Receiver<io::Result<Bytes>>);

impl HttpBody for Fed {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|it| it.map(Frame::data)))
    }
}
