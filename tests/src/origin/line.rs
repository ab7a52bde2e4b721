//! A socket that can be told to misbehave, below everything that speaks HTTP properly.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What a connection is to do wrong from its next write on.
#[derive(Clone, Default)]
pub(super) struct Mischief(Arc<Mutex<Option<Wrong>>>);

#[derive(Clone, Copy)]
pub(super) enum Wrong {
    /// Send this many more bytes, then reset the connection.
    ResetAfter(usize),
    /// Send something that is not HTTP, then close.
    Garbage,
}

impl Mischief {
    pub(super) fn plan(&self, wrong: Wrong) {
        *self.0.lock().unwrap() = Some(wrong);
    }
}

const GARBAGE: &[u8] = b"\x00\xff\x13 this was never HTTP \x00\r\n\r\n";

pub(super) struct Line {
    socket: TcpStream,
    mischief: Mischief,
}

impl Line {
    pub(super) fn new(socket: TcpStream, mischief: Mischief) -> Line {
        Line { socket, mischief }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let planned = *self.mischief.0.lock().unwrap();
        match planned {
            None => Pin::new(&mut self.socket).poll_write(context, bytes),
            Some(Wrong::ResetAfter(0)) => {
                self.socket.set_zero_linger()?; // closing then sends RST, and no FIN
                Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
            }
            Some(Wrong::ResetAfter(left)) => {
                let some = &bytes[..left.min(bytes.len())];
                let sent = ready!(Pin::new(&mut self.socket).poll_write(context, some))?;
                self.mischief.plan(Wrong::ResetAfter(left - sent));
                Poll::Ready(Ok(sent))
            }
            Some(Wrong::Garbage) => {
                ready!(Pin::new(&mut self.socket).poll_write(context, GARBAGE))?;
                Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl AsyncRead for Line {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}
