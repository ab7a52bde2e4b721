//! A client's socket, in clear text or under TLS, as hyper sees it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::admission::Permit;
use super::clock::{Clock, Protocol};
use super::frames::{Flood, Frames};

/// The preface of HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long, and how much, is still read of a client that was told that it is not understood: a socket
/// that is closed while the client still sends takes the answer with it.
const LINGER: Duration = Duration::from_secs(2);
const LINGERING: usize = 256 << 10;

/// Tells the clock what moves, and holds the right to be connected as long as the socket is open: also
/// when it has been upgraded and is hyper's no more.
pub struct Io<S: Socket> {
    inner: S,
    clock: Arc<Clock>,
    /// What was read to find out which protocol it is.
    ahead: Ahead,
    /// Of HTTP/2.
    frames: Option<Frames>,
    _permit: Permit,
}

/// The first bytes of a connection, as many as it takes to tell HTTP/2 from HTTP/1.1.
#[derive(Default)]
pub struct Ahead {
    bytes: [u8; PREFACE.len()],
    length: usize,
    passed_on: usize,
}

/// What is at the bottom of a stream.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn socket(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl Ahead {
    /// Reads until it is clear what the client speaks; what has come is kept for who speaks with it.
    pub async fn sniff(&mut self, stream: &mut TcpStream) -> io::Result<Protocol> {
        loop {
            let (known, room) = self.bytes.split_at_mut(self.length);
            if !PREFACE.starts_with(known) {
                return Ok(Protocol::Http1);
            }
            if room.is_empty() {
                return Ok(Protocol::Http2);
            }
            match stream.read(room).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                more => self.length += more,
            }
        }
    }

    /// Whether anything has come.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn left(&self) -> &[u8] {
        self.bytes.get(self.passed_on..self.length).unwrap_or_default()
    }
}

impl<S: Socket> Io<S> {
    pub fn new(inner: S, ahead: Ahead, clock: Arc<Clock>, protocol: Protocol, permit: Permit) -> Self {
        let frames = match protocol {
            Protocol::Http1 => None,
            Protocol::Http2 => Some(Frames::new(Instant::now())),
        };
        Io { inner, clock, ahead, frames, _permit: permit }
    }

    /// Says a last word, and lets the client read it.
    pub async fn leave(mut self, word: &'static [u8]) {
        let leaving = async {
            self.inner.write_all(word).await?;
            self.inner.shutdown().await?;
            let (mut waste, mut left) = ([0; 4096], LINGERING);
            while left > 0 {
                match self.inner.read(&mut waste).await? {
                    0 => break,
                    length => left = left.saturating_sub(length),
                }
            }
            io::Result::Ok(())
        };
        // It may have gone before.
        let _ = tokio::time::timeout(LINGER, leaving).await;
    }

    fn mark<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.clock.wrote(result.is_pending());
        result
    }
}

impl<S: Socket> Drop for Io<S> {
    fn drop(&mut self) {
        if self.clock.is_given_up() {
            // What the kernel still has for a client that takes nothing is of no use any more. (If this
            // fails, the kernel gives up by itself, later.)
            let _ = socket2::SockRef::from(self.inner.socket()).set_linger(Some(Duration::ZERO));
        }
    }
}

impl<S: Socket> AsyncRead for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Io { inner, clock, ahead, frames, .. } = &mut *self;
        let before = buffer.filled().len();
        let left = ahead.left();
        if left.is_empty() {
            ready!(Pin::new(inner).poll_read(context, buffer))?;
        } else {
            let (now, _) = left.split_at(left.len().min(buffer.remaining()));
            buffer.put_slice(now);
            ahead.passed_on += now.len();
        }
        let new = buffer.filled().get(before..).unwrap_or_default();
        if !new.is_empty() {
            clock.read(new.len());
        }
        if let Some(frames) = frames
            && let Err(Flood) = frames.take(new, Instant::now)
        {
            clock.flood();
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.mark(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.mark(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(context);
        self.mark(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(context);
        self.mark(result)
    }
}
