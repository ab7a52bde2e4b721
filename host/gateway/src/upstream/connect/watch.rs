//! Bytes of an HTTP/1.1 connection, looked at before they are parsed: what the parser would let pass.
//!
//! Only heads are looked at, line end by line end; bodies flow by. And what is written on a connection
//! that may be just being closed is kept until something comes back: the parser does not give a request
//! back, and a copy of each in advance would cost many times as much.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::upstream::tally::Open;

/// Interim responses (1xx) before the final one. An endpoint that sends more keeps us busy for nothing.
const MOST_INTERIM: usize = 16;
/// Where the status stands in `HTTP/1.1 200 OK`.
const STATUS: std::ops::Range<usize> = 9..12;

/// No more is kept of a request, so that a connection that is idle holds little.
const MOST_KEPT: usize = 16 << 10;
/// What is kept for the next request when it has to grow no more.
const USUAL_KEPT: usize = 4 << 10;

/// A stream of which the heads of responses are looked at.
pub struct Watch<S> {
    stream: S,
    awaited: Arc<Awaited>,
    look: Look,
    /// What was written since the request was sent, if that is to be kept.
    written: Vec<u8>,
    /// The connection counts as open as long as its stream is there, in whatever protocol.
    _open: Open,
}

/// What is to come, as far as whoever sends requests knows, and what became of it.
#[derive(Default)]
pub struct Awaited {
    /// The next bytes are of a response's head.
    head: AtomicBool,
    /// Nothing has come since the request, and what is written is kept.
    keep: AtomicBool,
    /// What was written on a connection that was closed before anything came back.
    unanswered: Mutex<Option<Vec<u8>>>,
}

/// How far a head has come.
#[derive(Default)]
struct Look {
    /// Bytes of the current line so far.
    length: usize,
    last: u8,
    /// Lines of this head so far.
    lines: usize,
    status: [u8; 3],
    /// Interim responses so far.
    interim: usize,
}

/// What a piece of a head leads to.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// More of it is to come.
    Part,
    /// The head of the final response is complete; what follows is no concern of ours.
    End,
    /// No response should look like this.
    Wrong(&'static str),
}

impl<S> Watch<S> {
    pub fn new(stream: S, awaited: Arc<Awaited>, open: Open) -> Self {
        Watch { stream, awaited, look: Look::default(), written: Vec::new(), _open: open }
    }

    /// An answer has begun.
    fn came(&mut self) {
        self.awaited.keep.store(false, Ordering::Relaxed);
        self.written.clear();
        self.written.shrink_to(USUAL_KEPT);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MOST_KEPT.saturating_sub(self.written.len());
        self.written.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// Keeps what was taken of these; all of it if the connection broke, for then nobody writes the rest.
    fn wrote(&mut self, pieces: &[IoSlice<'_>], result: &Poll<io::Result<usize>>) {
        if !self.awaited.keep.load(Ordering::Relaxed) {
            return;
        }
        let mut left = match result {
            Poll::Pending => return,
            Poll::Ready(Ok(taken)) => *taken,
            Poll::Ready(Err(_)) => usize::MAX,
        };
        for piece in pieces {
            let taken = piece.get(..left).unwrap_or(piece);
            self.keep(taken);
            left -= taken.len();
        }
        if let Poll::Ready(Err(_)) = result {
            self.closed();
        }
    }

    /// Nothing came, and nothing will.
    fn closed(&mut self) {
        if self.awaited.keep.swap(false, Ordering::Relaxed) {
            let written = std::mem::take(&mut self.written);
            *self.awaited.unanswered.lock().unwrap_or_else(PoisonError::into_inner) = Some(written);
        }
    }
}

impl Awaited {
    /// A request is about to be sent. `keep` if it can be sent again should nothing come back.
    pub fn set(&self, keep: bool) {
        self.head.store(true, Ordering::Relaxed);
        self.keep.store(keep, Ordering::Relaxed);
    }

    /// The request, as far as it was kept, if the connection was closed before anything came back.
    pub fn unanswered(&self) -> Option<Vec<u8>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Look {
    fn at(&mut self, mut bytes: &[u8]) -> Seen {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end + 1);
            self.note_status(line);
            let before = line.iter().rev().nth(1).copied().unwrap_or(self.last);
            let length = self.length + line.len();
            if before != b'\r' || length < 2 {
                return Seen::Wrong("a line of its head ends with a bare LF");
            }
            (self.length, self.last, bytes) = (0, b'\n', rest);
            if length > 2 {
                self.lines += 1;
                continue;
            }
            if self.lines == 0 {
                return Seen::Wrong("an empty line before its head");
            }
            // 101 ends HTTP on this connection (RFC 9110, section 15.2.2): it is final.
            if self.status[0] != b'1' || self.status == *b"101" {
                *self = Look::default();
                return Seen::End;
            }
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                return Seen::Wrong("too many interim responses (1xx)");
            }
            self.lines = 0;
        }
        self.note_status(bytes);
        self.length += bytes.len();
        self.last = bytes.last().copied().unwrap_or(self.last);
        Seen::Part
    }

    /// The status may come in pieces like everything else.
    fn note_status(&mut self, piece: &[u8]) {
        if self.lines > 0 || self.length >= STATUS.end {
            return;
        }
        for (digit, at) in self.status.iter_mut().zip(STATUS) {
            if let Some(byte) = at.checked_sub(self.length).and_then(|at| piece.get(at)) {
                *digit = *byte;
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watch<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if self.awaited.head.load(Ordering::Relaxed) {
            let bytes = buffer.filled().get(before..).unwrap_or_default();
            if bytes.is_empty() {
                self.closed();
                return Poll::Ready(read);
            }
            self.came();
            match self.look.at(bytes) {
                Seen::Part => {}
                Seen::End => self.awaited.head.store(false, Ordering::Relaxed),
                Seen::Wrong(what) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
                }
            }
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watch<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(&[IoSlice::new(bytes)], &result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.wrote(pieces, &result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However a head is cut into pieces, the same is seen in it.
    fn seen(head: &[u8]) -> Seen {
        let whole = Look::default().at(head);
        for cut in 1..head.len() {
            let mut look = Look::default();
            let cut_up = match look.at(&head[..cut]) {
                Seen::Part => look.at(&head[cut..]),
                seen => seen,
            };
            assert_eq!(cut_up, whole, "cut at {cut}");
        }
        let mut look = Look::default();
        let bytes = head.iter().map(|byte| look.at(std::slice::from_ref(byte)));
        assert_eq!(bytes.into_iter().find(|seen| *seen != Seen::Part).unwrap_or(Seen::Part), whole);
        whole
    }

    #[test]
    fn heads_end_with_an_empty_line() {
        assert_eq!(seen(b"HTTP/1.1 200 OK\r\n"), Seen::Part);
        assert_eq!(seen(b"HTTP/1.1 200 OK\r\na: b\r\n\r"), Seen::Part);
        assert_eq!(seen(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n"), Seen::End);
        assert_eq!(seen(b"HTTP/1.1 200 OK\r\n\r\nbody\nbody"), Seen::End);
        assert_eq!(seen(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\n"), Seen::End);
    }

    #[test]
    fn interim_responses_come_before_the_final_one() {
        let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
        assert_eq!(seen(interim), Seen::Part);
        assert_eq!(seen(&[&interim[..], b"HTTP/1.1 200 OK\r\n\r\n"].concat()), Seen::End);
        assert_eq!(seen(&interim.repeat(MOST_INTERIM)), Seen::Part);
        assert!(matches!(seen(&interim.repeat(MOST_INTERIM + 1)), Seen::Wrong(_)));
    }

    #[test]
    fn lines_end_with_cr_lf() {
        for head in [
            "HTTP/1.1 200 OK\na: b\r\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\n\r\n",
            "HTTP/1.1 200 OK\r\na: b\r\n\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
            "\nHTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert!(matches!(seen(head.as_bytes()), Seen::Wrong(_)), "{head:?}");
        }
    }
}
