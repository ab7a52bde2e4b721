//! From a bound address to requests: accept, TLS, HTTP/1.1 or HTTP/2.

pub mod door;
pub mod socket;
pub mod tls;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use limen_policy::{Client, TlsFacts};
use tokio::net::{TcpListener, TcpStream};

use crate::gateway;
use crate::head::forwarded::Ends;
use crate::worker::{Alive, Worker, World};
use door::{Door, Phase, Queue};

/// A client that has not finished its TLS handshake by then is let go.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// A client that has not finished a request head by then, or sent none, is let go. (Over TLS it counts
/// from the first byte after the handshake.)
const HEAD_LIMIT: Duration = Duration::from_secs(60);
/// An HTTP/2 client is asked this often whether it is still there, and let go if it does not say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_LIMIT: Duration = Duration::from_secs(20);
/// Requests that one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 128;
/// How long an idle HTTP/1.1 connection stays open when its listener closes. What a client sends while
/// we close is lost, and HTTP/1.1 can't announce it but in an answer (HTTP/2 can, by GOAWAY): within
/// this time the next request gets one, with `Connection: close`. (As `option idle-close-on-response`
/// of HAProxy does.)
const LAST_REQUEST: Duration = Duration::from_secs(2);
/// Of the connections that the kernel has queued when a listener closes, so many are still served.
const LAST_ACCEPTED: usize = 4096;

/// A connection, as its requests know it.
pub struct Connection {
    pub worker: Rc<Worker>,
    /// The listener that it came in by.
    pub door: Rc<Door>,
    pub client: Client,
    pub ends: Ends,
    /// As long as this is held, the worker waits before it ends.
    _alive: Alive,
}

impl Connection {
    /// The world that a request which begins now lives in, and the number of its listener there: the
    /// worker's own, or where that has lost the listener the last one that had it.
    pub fn world(&self) -> (Rc<World>, usize) {
        world(&self.worker, &self.door)
    }
}

fn world(worker: &Worker, door: &Door) -> (Rc<World>, usize) {
    (door.last_world().cloned().unwrap_or_else(|| worker.world()), door.number())
}

/// Takes connections until the listener closes.
pub async fn accept(worker: Rc<Worker>, listener: TcpListener, door: Rc<Door>, alive: Alive) {
    let take = |(stream, address)| {
        tokio::task::spawn_local(serve(worker.clone(), stream, address, door.clone(), alive.clone()));
    };
    let mut closing = std::pin::pin!(door.closing());
    loop {
        tokio::select! {
            () = closing.as_mut() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => take(accepted),
                // Out of descriptors, most likely: those that end make room.
                Err(error) => {
                    tracing::warn!("could not accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    if door.phase() == Phase::Closing(Queue::Ours) {
        let queued = std::future::poll_fn(|context| {
            let mut left = LAST_ACCEPTED;
            while let Poll::Ready(Ok(accepted)) = listener.poll_accept(context)
                && left > 0
            {
                take(accepted);
                left -= 1;
            }
            Poll::Ready(())
        });
        tokio::task::unconstrained(queued).await;
    }
}

/// One connection from its first byte to its last.
async fn serve(worker: Rc<Worker>, stream: TcpStream, address: SocketAddr, door: Rc<Door>, alive: Alive) {
    // It only delays small answers: a socket that is closing already has no use for it.
    let _ = stream.set_nodelay(true);
    let port = stream.local_addr().map_or(0, |address| address.port());
    let (world, number) = world(&worker, &door);
    let acceptor = match world.snapshot.listeners.get(number) {
        Some(listener) => listener.tls.clone(),
        None => return,
    };
    drop(world);
    let connection = |tls: Option<Arc<TlsFacts>>| {
        let ends = Ends::new(address, port, tls.is_some());
        let client = Client { address, peer: address, tls };
        Rc::new(Connection { worker, door: door.clone(), client, ends, _alive: alive })
    };
    let Some(acceptor) = acceptor else {
        // Nothing further in has a limit for a client that never says anything.
        tokio::select! {
            first = tokio::time::timeout(HEAD_LIMIT, stream.readable()) => match first {
                Ok(Ok(())) => {}
                _ => return,
            },
            () = last_request(&door) => return,
        }
        return http(TokioIo::new(stream), connection(None)).await;
    };
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)) => handshake,
        () = door.over() => return,
    };
    match handshake {
        Ok(Ok(stream)) => {
            let facts: TlsFacts = tls::facts(stream.get_ref().1);
            http(TokioIo::new(stream), connection(Some(Arc::new(facts)))).await;
        }
        Ok(Err(error)) => tracing::debug!(client = %address, "TLS handshake failed: {error}"),
        Err(_) => tracing::debug!(client = %address, "no TLS handshake within {HANDSHAKE_LIMIT:?}"),
    }
}

/// Serves HTTP/1.1 or HTTP/2, whichever the client begins with. (What ALPN agreed on is what it
/// begins with.)
async fn http<I: Read + Write + Unpin + 'static>(io: I, connection: Rc<Connection>) {
    let (client, door) = (connection.client.address, connection.door.clone());
    let service = service_fn(move |request| gateway::handle(connection.clone(), request));
    let server = server();
    let mut serving = std::pin::pin!(server.serve_connection(io, service));
    let result = tokio::select! {
        result = serving.as_mut() => Some(result),
        () = last_request(&door) => None,
    };
    let result = match result {
        Some(result) => result,
        None => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                result = serving => result,
                () = door.over() => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(%client, "connection ended: {error}");
    }
}

/// Ends when a connection that is idle has to close.
async fn last_request(door: &Door) {
    door.closing().await;
    tokio::time::sleep(LAST_REQUEST).await;
}

fn server() -> auto::Builder<Local> {
    let mut server = auto::Builder::new(Local);
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_LIMIT);
    server
}

/// Runs what HTTP/2 spawns on the worker that the connection belongs to.
#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
