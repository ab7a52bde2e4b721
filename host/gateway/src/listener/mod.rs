//! From a bound address to requests: accept, TLS, HTTP/1.1 or HTTP/2.

pub mod socket;
pub mod tls;

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use limen_policy::{Client, TlsFacts};
use tokio::net::{TcpListener, TcpStream};

use crate::gateway;
use crate::worker::{Drain, Worker};

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

/// A connection, as its requests know it.
pub struct Connection {
    pub worker: Rc<Worker>,
    /// The number of the listener it came in by.
    pub listener: usize,
    pub client: Client,
    /// As long as this is held, the worker waits before it ends.
    _drain: Drain,
}

/// Takes connections until the worker drains.
pub async fn accept(worker: Rc<Worker>, listener: TcpListener, number: usize, mut drain: Drain) {
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    tokio::task::spawn_local(serve(worker.clone(), stream, address, number, drain.clone()));
                }
                // Out of descriptors, most likely: those that end make room.
                Err(error) => {
                    tracing::warn!("could not accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = drain.started() => return,
        }
    }
}

/// One connection from its first byte to its last.
async fn serve(worker: Rc<Worker>, stream: TcpStream, address: SocketAddr, number: usize, drain: Drain) {
    // It only delays small answers: a socket that is closing already has no use for it.
    let _ = stream.set_nodelay(true);
    let acceptor = match worker.world().snapshot.listeners.get(number) {
        Some(listener) => listener.tls.clone(),
        None => return,
    };
    let connection = |tls| {
        let client = Client { address, tls };
        Rc::new(Connection { worker: worker.clone(), listener: number, client, _drain: drain.clone() })
    };
    let Some(acceptor) = acceptor else {
        let mut draining = drain.clone();
        // Nothing further in has a limit for a client that never says anything.
        tokio::select! {
            first = tokio::time::timeout(HEAD_LIMIT, stream.readable()) => match first {
                Ok(Ok(())) => {}
                _ => return,
            },
            () = draining.started() => return,
        }
        drop(draining);
        return http(TokioIo::new(stream), connection(None), drain).await;
    };
    let mut draining = drain.clone();
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)) => handshake,
        () = draining.started() => return,
    };
    drop(draining);
    match handshake {
        Ok(Ok(stream)) => {
            let facts: TlsFacts = tls::facts(stream.get_ref().1);
            http(TokioIo::new(stream), connection(Some(Arc::new(facts))), drain).await;
        }
        Ok(Err(error)) => tracing::debug!(client = %address, "TLS handshake failed: {error}"),
        Err(_) => tracing::debug!(client = %address, "no TLS handshake within {HANDSHAKE_LIMIT:?}"),
    }
}

/// Serves HTTP/1.1 or HTTP/2, whichever the client begins with. (What ALPN agreed on is what it
/// begins with.)
async fn http<I: Read + Write + Unpin + 'static>(io: I, connection: Rc<Connection>, mut drain: Drain) {
    let client = connection.client.address;
    let service = service_fn(move |request| gateway::handle(connection.clone(), request));
    let server = server();
    let mut serving = std::pin::pin!(server.serve_connection(io, service));
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = drain.started() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%client, "connection ended: {error}");
    }
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
