//! HTTP/2 on a connection.

use std::cell::Cell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use limen_config::ListenerLimits;
use tokio::time::Sleep;

use super::clock::{Clock, Expired, Watch};
use super::connection::Ended;
use super::io::{Io, Socket};
use super::{Connection, Terms, Trouble};
use crate::gateway;

/// A client is asked this often whether it is still there, and let go if it does not say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_LIMIT: Duration = Duration::from_secs(20);
/// What waits to be written of one answer, at most.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that we have reset because of the client's mistakes.
const MISTAKES: usize = 100;
/// How long a client has, once it was told to go, to hear of it.
const LEAVING: Duration = Duration::from_secs(5);

fn builder(limits: &ListenerLimits, streams: Streams) -> Builder<Streams> {
    let small = |limit: u64| u32::try_from(limit).unwrap_or(u32::MAX);
    let mut builder = Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        // WebSocket (RFC 8441).
        .enable_connect_protocol()
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_LIMIT)
        .max_concurrent_streams(u32::try_from(limits.streams).unwrap_or(u32::MAX))
        .initial_stream_window_size(small(limits.stream_window))
        .initial_connection_window_size(small(limits.connection_window))
        .max_frame_size(small(limits.frame_size))
        .max_header_list_size(small(limits.head_size))
        .max_local_error_reset_streams(MISTAKES)
        .max_send_buf_size(SEND_BUFFER);
    builder
}

/// Serves requests until the client goes, a limit is passed, or the listener closes.
pub async fn serve<S: Socket>(io: Io<S>, connection: Rc<Connection>, terms: Arc<Terms>, mut watch: Watch) {
    let (client, clock, door) =
        (connection.client.address, connection.clock.clone(), connection.door.clone());
    let streams = Streams { clock: clock.clone(), terms: terms.clone(), client };
    let service = service_fn(move |request| {
        let answering = gateway::handle(connection.clone(), request);
        async move { Ok::<_, Infallible>(answering.await?.map(|body| Answer { body })) }
    });
    let serving = builder(&terms.limits, streams).serve_connection(TokioIo::new(io), service);
    let mut serving = std::pin::pin!(serving);
    let (mut closing, mut leaving) = (std::pin::pin!(door.closing()), false);
    let ended = loop {
        tokio::select! {
            biased;
            result = serving.as_mut() => break if clock.is_flooded() { Ended::Flood } else { Ended::of(result) },
            () = closing.as_mut(), if !leaving => {
                leaving = true;
                serving.as_mut().graceful_shutdown();
            }
            () = door.over(), if leaving => break Ended::Well,
            expired = watch.expired() => break Ended::Expired(expired),
        }
    };
    ended.tell(&terms, client);
    match ended {
        Ended::Expired(Expired::Send) => clock.give_up(),
        Ended::Expired(_) => {
            serving.as_mut().graceful_shutdown();
            // It may be gone already.
            let _ = tokio::time::timeout(LEAVING, serving).await;
        }
        _ => {}
    }
}

/// Runs the streams of a connection on its worker; each of them is a request under way.
#[derive(Clone)]
struct Streams {
    clock: Arc<Clock>,
    terms: Arc<Terms>,
    client: SocketAddr,
}

impl<F: Future + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let in_flight = self.clock.begin();
        let Streams { terms, client, .. } = self.clone();
        tokio::task::spawn_local(async move {
            let mut stream = std::pin::pin!(stream);
            let mut patience = Patience { limit: terms.limits.send, timer: None, waiting: false };
            let in_time = std::future::poll_fn(|context| {
                SAID.set(None);
                match stream.as_mut().poll(context) {
                    Poll::Ready(_) => Poll::Ready(true),
                    Poll::Pending => patience.poll(SAID.get(), context).map(|()| false),
                }
            });
            // Left half-way, the stream is reset.
            if !in_time.await {
                let reason = format_args!("it took nothing of an answer for {:?}", patience.limit);
                terms.report(Trouble::SlowReader, client, reason);
            }
            drop(in_flight);
        });
    }
}

/// What the body of an answer said when it was last asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// Here is more. If the stream does not go on then, it is the client that takes no more.
    Gave,
    /// There is no more yet.
    Waits,
}

thread_local! {
    /// Of the stream that is being polled: no stream is within another. (The body is hyper's, and has no
    /// other way to whom the stream is.)
    static SAID: Cell<Option<Said>> = const { Cell::new(None) };
}

/// How long a stream waits for a client that leaves no window for it. As long as it doesn't have to, it
/// has no timer.
struct Patience {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Patience {
    /// Ready when it has ended. To be asked after the stream has done what it could.
    fn poll(&mut self, said: Option<Said>, context: &mut Context<'_>) -> Poll<()> {
        match said {
            Some(Said::Gave) => {
                self.waiting = true;
                match &mut self.timer {
                    Some(timer) => timer.as_mut().reset((Instant::now() + self.limit).into()),
                    none => *none = Some(Box::pin(tokio::time::sleep(self.limit))),
                }
            }
            Some(Said::Waits) => self.waiting = false,
            None => {}
        }
        match &mut self.timer {
            Some(timer) if self.waiting => timer.as_mut().poll(context),
            _ => Poll::Pending,
        }
    }
}

/// An answer on its way.
struct Answer<B> {
    body: B,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        SAID.set(Some(if frame.is_ready() { Said::Gave } else { Said::Waits }));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
