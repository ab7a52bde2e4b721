//! One connection, from its first byte to its last.

use std::error::Error as _;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use limen_config::ForwardCertificate;
use limen_policy::{Client, TlsFacts};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::admission::Permit;
use super::clock::{Clock, Expired, Protocol, Watch};
use super::door::Door;
use super::io::{Ahead, Io, Socket};
use super::tls::{self, Tls};
use super::{CertificateHeader, Connection, Terms, Trouble, http1, http2};
use crate::head::forwarded::Ends;
use crate::worker::{Alive, Worker};

/// How long an idle HTTP/1.1 connection stays open when its listener closes. What a client sends while
/// we close is lost, and HTTP/1.1 can't announce it but in an answer (HTTP/2 can, by GOAWAY): within
/// this time the next request gets one, with `Connection: close`. (As `option idle-close-on-response`
/// of HAProxy does.)
const LAST_REQUEST: Duration = Duration::from_secs(2);

/// A connection that was let in.
pub struct New {
    pub worker: Rc<Worker>,
    pub stream: TcpStream,
    pub address: SocketAddr,
    /// What somebody else's handshake told; none if there was none, or if it is ours.
    pub tls: Option<Arc<TlsFacts>>,
    pub permit: Permit,
    pub door: Rc<Door>,
    pub terms: Arc<Terms>,
    pub alive: Alive,
}

/// Serves a connection to its end.
pub async fn serve(new: New) {
    let begun = Instant::now();
    // It only delays small answers: a socket that is closing already has no use for it.
    let _ = new.stream.set_nodelay(true);
    // Each way has a future of its own, so that a connection that waits holds no more than it needs.
    match new.terms.tls {
        Some(_) => Box::pin(by_tls(new, begun)).await,
        None => Box::pin(in_clear_text(new, begun)).await,
    }
}

/// What the client begins with says what it speaks.
async fn in_clear_text(mut new: New, begun: Instant) {
    let mut ahead = Ahead::default();
    let sniffed = tokio::select! {
        sniffed = timeout(new.terms.limits.head, ahead.sniff(&mut new.stream)) => sniffed,
        () = last_request(&new.door) => return,
    };
    let protocol = match sniffed {
        Ok(Ok(protocol)) => protocol,
        // It went without a word, or with half of one.
        Ok(Err(_)) => return,
        Err(_) => {
            let expired = if ahead.is_empty() { Expired::Silent } else { Expired::Head };
            return Ended::Expired(expired).tell(&new.terms, new.address);
        }
    };
    let New { worker, stream, address, tls, permit, door, terms, alive } = new;
    let ends = Ends::new(address, port(&stream), tls.is_some());
    let client = Client { address, peer: address, tls, ..Client::default() };
    let certificate = CertificateHeader::new(ForwardCertificate::Off, None);
    let clock = Arc::new(Clock::default());
    let io = Io::new(stream, ahead, clock.clone(), protocol, permit);
    let connection = Rc::new(Connection { worker, door, client, ends, certificate, clock, _alive: alive });
    http(io, connection, terms, protocol, begun).await;
}

/// What ALPN agreed on is what the client speaks.
async fn by_tls(new: New, begun: Instant) {
    let New { worker, stream, address, tls: _, permit, door, terms, alive } = new;
    let Some(Tls { acceptor, forward, .. }) = &terms.tls else { return };
    let limit = terms.limits.handshake;
    let handshake = tokio::select! {
        handshake = timeout(limit, Box::pin(acceptor.accept(stream))) => handshake,
        () = door.over() => return,
    };
    let stream = match handshake {
        Ok(Ok(stream)) => stream,
        // Whoever looks whether we are there goes like this.
        Ok(Err(error)) if error.kind() != std::io::ErrorKind::InvalidData => {
            return tracing::debug!(client = %address, "no TLS handshake: {error}");
        }
        Ok(Err(error)) => {
            return terms.report(Trouble::Handshake, address, format_args!("TLS handshake failed: {error}"));
        }
        Err(_) => {
            let reason = format_args!("no TLS handshake within {limit:?}");
            return terms.report(Trouble::SlowHandshake, address, reason);
        }
    };
    let tls::Handshake { facts, http2, resumed } = tls::facts(stream.get_ref().1);
    let counters = &terms.shared.counters;
    increment(if resumed { &counters.resumed_handshakes } else { &counters.full_handshakes });
    increment(if facts.version == TlsFacts::V1_2 { &counters.tls12 } else { &counters.tls13 });
    let certificate = CertificateHeader::new(*forward, facts.certificate.as_ref());
    let protocol = if http2 { Protocol::Http2 } else { Protocol::Http1 };
    let client = Client { address, peer: address, tls: Some(Arc::new(facts)), ..Client::default() };
    let clock = Arc::new(Clock::default());
    let ends = Ends::new(address, port(stream.get_ref().0), true);
    let io = Io::new(stream, Ahead::default(), clock.clone(), protocol, permit);
    let connection = Rc::new(Connection { worker, door, client, ends, certificate, clock, _alive: alive });
    http(io, connection, terms, protocol, begun).await;
}

async fn http<S: Socket>(
    io: Io<S>,
    connection: Rc<Connection>,
    terms: Arc<Terms>,
    protocol: Protocol,
    begun: Instant,
) {
    let counters = &terms.shared.counters;
    let watch = Watch::new(connection.clock.clone(), protocol, &terms.limits, begun);
    match protocol {
        Protocol::Http1 => {
            increment(&counters.http1);
            Box::pin(http1::serve(io, connection, terms, watch)).await;
        }
        Protocol::Http2 => {
            increment(&counters.http2);
            Box::pin(http2::serve(io, connection, terms, watch)).await;
        }
    }
}

/// Where the client came in.
fn port(stream: &TcpStream) -> u16 {
    stream.local_addr().map_or(0, |address| address.port())
}

/// Ends when a connection that is idle has to close.
pub async fn last_request(door: &Door) {
    door.closing().await;
    tokio::time::sleep(LAST_REQUEST).await;
}

fn increment(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// How a connection ended.
pub enum Ended {
    /// As it should, or because the client went.
    Well,
    Expired(Expired),
    LargeHead(hyper::Error),
    Malformed(hyper::Error),
    /// Of HTTP/2 frames that bring nothing.
    Flood,
}

impl Ended {
    pub fn of(result: hyper::Result<()>) -> Self {
        let Err(error) = result else { return Ended::Well };
        if error.is_parse_too_large() {
            return Ended::LargeHead(error);
        }
        if error.is_parse() {
            return Ended::Malformed(error);
        }
        let Some(source) = error.source() else { return Ended::Well };
        match source.downcast_ref::<h2::Error>() {
            // What the client says of us, or no more says at all.
            Some(http2) if http2.is_io() || http2.is_remote() => Ended::Well,
            Some(http2) if http2.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) => Ended::Flood,
            Some(http2) if http2.reason().is_some_and(|reason| reason != h2::Reason::NO_ERROR) => {
                Ended::Malformed(error)
            }
            _ => Ended::Well,
        }
    }

    /// Counts it, and says why in the log: nobody else does where there was no request.
    pub fn tell(&self, terms: &Terms, client: SocketAddr) {
        let limits = &terms.limits;
        match self {
            Ended::Well => {}
            Ended::Expired(Expired::Silent | Expired::Idle) => increment(&terms.shared.counters.idle),
            Ended::Expired(Expired::Head) => {
                let reason = format_args!("no whole request head within {:?}", limits.head);
                terms.report(Trouble::SlowHead, client, reason);
            }
            Ended::Expired(Expired::Send) => {
                terms.report(
                    Trouble::SlowReader,
                    client,
                    format_args!("it took nothing for {:?}", limits.send),
                );
            }
            Ended::LargeHead(error) => terms.report(Trouble::LargeHead, client, Causes(error)),
            Ended::Malformed(error) => terms.report(Trouble::Malformed, client, Causes(error)),
            Ended::Flood => {
                terms.report(
                    Trouble::Flood,
                    client,
                    "a flood of HTTP/2 frames that cost work and bring nothing",
                );
            }
        }
    }
}

/// An error, and what it says of its causes.
struct Causes<'e>(&'e hyper::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
