//! Bytes of an HTTP/1.1 connection, looked at before they are parsed: what the parser would let pass.
//!
//! Only heads are looked at, line end by line end; bodies flow by.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Interim responses (1xx) before the final one. An endpoint that sends more keeps us busy for nothing.
const MOST_INTERIM: usize = 16;
/// Where the status stands in `HTTP/1.1 200 OK`.
const STATUS: std::ops::Range<usize> = 9..12;

/// A stream of which the heads of responses are looked at.
pub struct Watch<S> {
    stream: S,
    awaited: Arc<Awaited>,
    look: Look,
}

/// Whether the next bytes are of a response's head: set when a request is sent.
#[derive(Default)]
pub struct Awaited(AtomicBool);

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
    pub fn new(stream: S, awaited: Arc<Awaited>) -> Self {
        Watch { stream, awaited, look: Look::default() }
    }
}

impl Awaited {
    /// A request is about to be sent.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
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
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if self.awaited.0.load(Ordering::Relaxed) {
            let read = buffer.filled().get(before..).unwrap_or_default();
            match self.look.at(read) {
                Seen::Part => {}
                Seen::End => self.awaited.0.store(false, Ordering::Relaxed),
                Seen::Wrong(what) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watch<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
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
