//! A real HTTP server to stand behind the gateway: HTTP/1.1 and HTTP/2, plain or TLS, on its own thread.
//!
//! At most paths it answers with what it was asked, as JSON; [`paths`] lists the others.

mod demo;
mod line;
mod mood;
pub mod paths;

use crate::certs::Certs;
use hyper::Request;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use line::{Line, Mischief};
use mood::Mood;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// A running origin; it ends, and its connections with it, when dropped. Displayed, it is its URL.
pub struct Origin {
    address: SocketAddr,
    scheme: &'static str,
    counts: Arc<Counts>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    requests: AtomicU64,
    mood: Mood,
}

impl Origin {
    /// On a port that the system chooses.
    pub fn start() -> Origin {
        Origin::start_on("127.0.0.1:0").unwrap()
    }

    /// On this address.
    pub fn start_on(address: &str) -> io::Result<Origin> {
        Origin::launch(address, None)
    }

    /// Over TLS, showing [`Certs::local`].
    pub fn start_tls(certs: &Certs) -> Origin {
        Origin::launch("127.0.0.1:0", Some(Arc::new(certs.server_config()).into())).unwrap()
    }

    /// The same on this address.
    pub fn start_tls_on(address: &str, certs: &Certs) -> io::Result<Origin> {
        Origin::launch(address, Some(Arc::new(certs.server_config()).into()))
    }

    /// Over TLS, for clients that show a certificate of this authority.
    pub fn start_demanding(certs: &Certs) -> Origin {
        let tls = Arc::new(certs.demanding_server_config());
        Origin::launch("127.0.0.1:0", Some(tls.into())).unwrap()
    }

    /// The URL of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("{self}{path}")
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have come, without health checks.
    pub fn requests(&self) -> u64 {
        self.counts.requests.load(Ordering::Relaxed)
    }

    /// How many connections have been opened.
    pub fn connections(&self) -> u64 {
        self.counts.connections.load(Ordering::Relaxed)
    }

    /// How many health checks have come, at `/healthz` or by gRPC.
    pub fn checks(&self) -> u64 {
        self.counts.mood.checks()
    }

    /// From now on health checks are answered with this status.
    pub fn set_health(&self, status: u16) {
        self.counts.mood.set_health(status);
    }

    /// From now on everything else is answered with this status; 0: with what was asked for.
    pub fn set_status(&self, status: u16) {
        self.counts.mood.set_status(status);
    }

    /// Waits for it to end, which it does only by itself.
    pub fn join(mut self) {
        self.thread.take().map(JoinHandle::join);
    }

    fn launch(address: &str, tls: Option<TlsAcceptor>) -> io::Result<Origin> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = oneshot::channel();
        let accepting = accept(listener, tls, counts.clone());
        let thread = std::thread::Builder::new().name("origin".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    result = accepting => result.unwrap(),
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Origin { address, scheme, counts, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.take();
        self.thread.take().map(JoinHandle::join);
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.address)
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, counts: Arc<Counts>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (socket, _) = listener.accept().await?;
        counts.connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(connection(socket, tls.clone(), counts.clone()));
    }
}

async fn connection(socket: TcpStream, tls: Option<TlsAcceptor>, counts: Arc<Counts>) {
    let _ = socket.set_nodelay(true);
    let mischief = Mischief::default();
    let line = Line::new(socket, mischief.clone());
    match tls {
        None => serve(line, mischief, counts).await,
        Some(tls) => {
            if let Ok(line) = tls.accept(line).await {
                serve(line, mischief, counts).await;
            }
        }
    }
}

/// Errors are the other side's to notice: half of the paths exist to cause them.
async fn serve(
    line: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    mischief: Mischief,
    counts: Arc<Counts>,
) {
    let service = service_fn(|request| {
        let (counts, mischief) = (counts.clone(), mischief.clone());
        async move {
            if let Some(check) = counts.mood.check(Request::uri(&request).path()) {
                return Ok(check);
            }
            counts.requests.fetch_add(1, Ordering::Relaxed);
            match counts.mood.failure() {
                Some(failure) => Ok(failure),
                None => paths::answer(request, mischief).await,
            }
        }
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(line), service).await;
}
