//! How connections to endpoints are made: TCP, TLS, and the protocol that both sides agree on.

pub mod http1;
pub mod http2;
mod tls;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use limen_config::{ConfigError, ResponseHead, Scheme, Upstream as Terms};
use limen_config::{UpstreamHttp2, UpstreamLimits, UpstreamPool, UpstreamProtocol};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::endpoint::Address;
use super::failure::{Failure, FailureKind};
use super::resilience::{Permit, Slots};
use super::tally::{Open, Tally};

use http1::Http1;
use http2::Http2;
use tls::Tls;

/// How the endpoints of an upstream are connected to. It outlives reloads that change nothing of it,
/// and the connections that were made with it do as well.
pub struct Connector {
    /// What tells it from every other one.
    pub id: u64,
    pub pool: UpstreamPool,
    pub head: ResponseHead,
    pub http2: UpstreamHttp2,
    /// If the number of connections is limited.
    pub slots: Option<Arc<Slots>>,
    limits: UpstreamLimits,
    protocol: UpstreamProtocol,
    /// If it has `https` endpoints.
    tls: Option<Tls>,
}

/// A connection that has just been made.
pub enum Link {
    Http1(Http1),
    Http2(Http2),
}

/// Which protocols to make a connection with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Those that the configuration names.
    Configured,
    /// HTTP/1.1 where the configuration leaves a choice: the request wants to switch protocols, which
    /// HTTP/2 does not know (RFC 9113, section 8.6).
    Http1,
    /// HTTP/2, whatever the configuration says: for gRPC, which knows nothing else.
    Http2,
}

impl Connector {
    /// `previous` is what the upstream of this name was connected with before. Reads the files that
    /// `tls` names.
    pub fn new(terms: &Terms, previous: Option<&Arc<Connector>>) -> Result<Arc<Self>, ConfigError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let is_tls = terms.endpoints.iter().any(|endpoint| endpoint.scheme == Scheme::Https);
        let previous_tls = previous.and_then(|previous| previous.tls.as_ref());
        let tls = match is_tls {
            true => Some(Tls::new(&terms.name, &terms.tls, previous_tls)?),
            false => None,
        };
        let connector = Connector {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            pool: terms.pool,
            head: terms.response_head,
            http2: terms.http2,
            slots: Slots::new(&terms.limits, previous.and_then(|previous| previous.slots.as_deref()))
                .map(Arc::new),
            limits: terms.limits,
            protocol: terms.protocol,
            tls,
        };
        Ok(match previous {
            Some(previous) if connector.is_like(previous) => previous.clone(),
            _ => Arc::new(connector),
        })
    }

    fn is_like(&self, other: &Connector) -> bool {
        let Connector { id: _, pool, head, http2, slots: _, limits, protocol, tls } = self;
        (pool, head, http2, protocol) == (&other.pool, &other.head, &other.http2, &other.protocol)
            && *limits == other.limits
            && match (tls, &other.tls) {
                (Some(ours), Some(theirs)) => ours.is_like(theirs),
                (None, None) => true,
                _ => false,
            }
    }

    /// Whether connections to this endpoint may turn out to be HTTP/2.
    pub fn may_multiplex(&self, address: &Address) -> bool {
        match self.protocol {
            UpstreamProtocol::Auto => address.scheme == Scheme::Https,
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::Http2 => true,
        }
    }

    /// Whether a request that wants to switch protocols needs a connection that others don't.
    pub fn has_choice(&self, address: &Address) -> bool {
        self.protocol == UpstreamProtocol::Auto && address.scheme == Scheme::Https
    }

    /// Makes a connection, on the current worker, in this time.
    pub async fn connect(
        &self,
        address: &Address,
        offer: Offer,
        limit: Duration,
        tally: &Arc<Tally>,
        slot: Option<Permit>,
    ) -> Result<Link, Failure> {
        let open = tally.open(slot);
        let deadline = Instant::now() + limit;
        let connected = match timeout_at(deadline, tcp(address)).await {
            Ok(Ok(stream)) => self.agree(stream, address, offer, deadline, limit, open).await,
            Ok(Err(error)) => Err(Failure::new(FailureKind::Connect, format!("{address}: {error}"))),
            Err(_) => {
                let reason = format!("{address} took no connection within {limit:?}");
                Err(Failure::new(FailureKind::ConnectTimeout, reason))
            }
        };
        match &connected {
            Ok(_) => tally.made(),
            Err(failure) => tally.failed(failure.kind),
        }
        connected
    }

    /// TLS, if the endpoint has it, and the protocol.
    async fn agree(
        &self,
        stream: TcpStream,
        address: &Address,
        offer: Offer,
        deadline: Instant,
        limit: Duration,
        open: Open,
    ) -> Result<Link, Failure> {
        let Some(tls) = self.tls.as_ref().filter(|_| address.scheme == Scheme::Https) else {
            return match (self.protocol, offer) {
                (UpstreamProtocol::Http2, _) | (_, Offer::Http2) => self.http2(stream, address, open).await,
                _ => self.http1(stream, address, open).await,
            };
        };
        let protocol = match offer {
            Offer::Http1 if self.protocol == UpstreamProtocol::Auto => UpstreamProtocol::Http1,
            Offer::Http2 => UpstreamProtocol::Http2,
            _ => self.protocol,
        };
        let failed = |what: String| Failure::new(FailureKind::Tls, format!("{address}: {what}"));
        let stream = match timeout_at(deadline, tls.handshake(&address.host, protocol, stream)).await {
            Ok(stream) => stream.map_err(|error| failed(format!("the TLS handshake failed: {error}")))?,
            Err(_) => {
                let reason = format!("{address} finished no TLS handshake within {limit:?}");
                return Err(Failure::new(FailureKind::ConnectTimeout, reason));
            }
        };
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.http2(stream, address, open).await,
            _ if protocol == UpstreamProtocol::Http2 => {
                Err(failed("it did not agree to HTTP/2 (ALPN `h2`)".to_owned()))
            }
            _ => self.http1(stream, address, open).await,
        }
    }

    async fn http1<S>(&self, stream: S, address: &Address, open: Open) -> Result<Link, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let made = http1::handshake(stream, &self.head, open).await;
        made.map(Link::Http1).map_err(|error| not_begun(address, &error))
    }

    async fn http2<S>(&self, stream: S, address: &Address, open: Open) -> Result<Link, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let made = http2::handshake(stream, &self.head, &self.http2, open).await;
        made.map(Link::Http2).map_err(|error| not_begun(address, &error))
    }
}

async fn tcp(address: &Address) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address.socket()).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn not_begun(address: &Address, error: &hyper::Error) -> Failure {
    let reason = super::failure::describe(error);
    Failure::new(FailureKind::Connect, format!("{address}: {reason}"))
}
