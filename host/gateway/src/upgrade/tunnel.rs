//! Bytes both ways, as they come.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::observe::End;

/// Until both sides have switched: one of them only has to send its response.
const SWITCHING: Duration = Duration::from_secs(30);

/// What went through a tunnel, and how it ended.
pub struct Traffic {
    pub from_client: u64,
    pub to_client: u64,
    pub end: End,
}

/// Waits until both have switched and carries bytes between them. A side that has ended is told to the
/// other one, which may go on (half-closed).
pub async fn run(client: OnUpgrade, upstream: OnUpgrade, idle: Duration) -> Traffic {
    let mut traffic = Traffic { from_client: 0, to_client: 0, end: End::Client };
    let both = async { tokio::try_join!(client, upstream) };
    let Ok(Ok((client, upstream))) = tokio::time::timeout(SWITCHING, both).await else { return traffic };
    let moved = Cell::new(Instant::now());
    let (mut client, mut upstream) = (Side::new(client, &moved), Side::new(upstream, &moved));
    let carried = tokio::select! {
        carried = tokio::io::copy_bidirectional(&mut client, &mut upstream) => carried,
        () = silence(&moved, idle) => {
            tracing::debug!("a tunnel was closed after {idle:?} of silence");
            Ok((0, 0))
        }
    };
    traffic.from_client = client.read;
    traffic.to_client = upstream.read;
    traffic.end = match carried {
        Ok(_) => End::Complete,
        Err(_) if upstream.failed => End::Upstream,
        Err(_) => End::Client,
    };
    traffic
}

/// Ends when nothing has moved for so long. It looks only as often as it must.
async fn silence(moved: &Cell<Instant>, idle: Duration) {
    loop {
        let end = moved.get() + idle;
        if Instant::now() >= end {
            return;
        }
        tokio::time::sleep_until(end.into()).await;
    }
}

/// One side, watched.
struct Side<'a> {
    io: TokioIo<Upgraded>,
    moved: &'a Cell<Instant>,
    read: u64,
    failed: bool,
}

impl<'a> Side<'a> {
    fn new(io: Upgraded, moved: &'a Cell<Instant>) -> Self {
        Side { io: TokioIo::new(io), moved, read: 0, failed: false }
    }

    fn noted<T>(&mut self, result: std::io::Result<T>) -> std::io::Result<T> {
        self.failed |= result.is_err();
        result
    }
}

impl AsyncRead for Side<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let side = self.get_mut();
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut side.io).poll_read(context, buffer));
        side.read += (buffer.filled().len() - before) as u64;
        side.moved.set(Instant::now());
        Poll::Ready(side.noted(result))
    }
}

impl AsyncWrite for Side<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        let side = self.get_mut();
        let result = ready!(Pin::new(&mut side.io).poll_write(context, bytes));
        side.moved.set(Instant::now());
        Poll::Ready(side.noted(result))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let side = self.get_mut();
        let result = ready!(Pin::new(&mut side.io).poll_flush(context));
        Poll::Ready(side.noted(result))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let side = self.get_mut();
        let result = ready!(Pin::new(&mut side.io).poll_shutdown(context));
        Poll::Ready(side.noted(result))
    }
}
