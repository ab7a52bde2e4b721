//! Spans on their way to the collector: a bounded queue, and a thread that empties it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use limen_config::Trace;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::span::{Span, attribute};
use crate::roots;

/// Spans that wait for the collector.
const QUEUE: usize = 8192;
/// Spans in one export.
const BATCH: usize = 512;
/// How long spans wait for others to go with.
const PAUSE: Duration = Duration::from_millis(250);
/// An export that the collector has no time for is tried again after these.
const AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// An answer of the collector is read this far.
const ANSWER: usize = 64 << 10;
/// Failures are told this often at most.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// The way to one collector. Its thread ends when this is dropped and the queue is empty.
pub struct Exporter {
    queue: SyncSender<Span>,
    counts: Arc<Counts>,
}

/// What became of spans.
#[derive(Default)]
pub struct Counts {
    pub exported: AtomicU64,
    /// They found the queue full.
    pub dropped: AtomicU64,
    /// The collector could not be reached, or did not take them.
    pub failed: AtomicU64,
    /// In the queue or on their way.
    waiting: AtomicU64,
}

/// Those of all exporters that there are.
static ALL: Mutex<Vec<Weak<Counts>>> = Mutex::new(Vec::new());

/// Waits until all spans are out, or this time is over.
pub fn flush(limit: Duration) {
    let until = Instant::now() + limit;
    while all().iter().any(|counts| counts.waiting.load(Relaxed) > 0) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The counts of every exporter.
pub fn all() -> Vec<Arc<Counts>> {
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|counts| counts.strong_count() > 0);
    all.iter().filter_map(Weak::upgrade).collect()
}

impl Exporter {
    pub fn start(terms: &Trace) -> io::Result<Self> {
        let (queue, spans) = sync_channel(QUEUE);
        let counts = Arc::<Counts>::default();
        ALL.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&counts));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let carrier = Carrier::new(terms, counts.clone())?;
        std::thread::Builder::new()
            .name("limen-trace".to_owned())
            .spawn(move || runtime.block_on(carrier.run(&spans)))?;
        Ok(Exporter { queue, counts })
    }

    /// Hands over a span, if there is room.
    pub fn send(&self, span: Span) {
        self.counts.waiting.fetch_add(1, Relaxed);
        if self.queue.try_send(span).is_err() {
            self.counts.waiting.fetch_sub(1, Relaxed);
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }
}

/// What the exporting thread knows.
struct Carrier {
    terms: Trace,
    tls: Option<TlsConnector>,
    counts: Arc<Counts>,
    told_at: Option<Instant>,
}

/// Why an export failed.
enum Failure {
    /// It may work in a moment.
    Now(String),
    /// The collector does not want these.
    Refused(String),
}

impl Carrier {
    fn new(terms: &Trace, counts: Arc<Counts>) -> io::Result<Self> {
        let tls = match terms.endpoint.scheme_str() {
            Some("https") => Some(connector()?),
            _ => None,
        };
        Ok(Carrier { terms: terms.clone(), tls, counts, told_at: None })
    }

    async fn run(mut self, spans: &Receiver<Span>) {
        loop {
            let mut batch = Vec::new();
            let mut is_over = false;
            while batch.len() < BATCH {
                match spans.try_recv() {
                    Ok(span) => batch.push(span),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => {
                        is_over = true;
                        break;
                    }
                }
            }
            let is_full = batch.len() == BATCH;
            if !batch.is_empty() {
                self.carry(batch).await;
            } else if is_over {
                return;
            }
            if !is_full {
                // Not woken by each span: a worker is to pay for nothing but the queue.
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn carry(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let body = Bytes::from(self.encode(batch).encode_to_vec());
        let mut pauses = AGAIN.iter();
        let outcome = loop {
            match tokio::time::timeout(self.terms.timeout, self.post(body.clone())).await {
                Ok(Ok(())) => break Ok(()),
                Ok(Err(Failure::Refused(reason))) => break Err(reason),
                Ok(Err(Failure::Now(reason))) => match pauses.next() {
                    Some(pause) => tokio::time::sleep(*pause).await,
                    None => break Err(reason),
                },
                Err(_) => break Err(format!("no answer within {:?}", self.terms.timeout)),
            }
        };
        match outcome {
            Ok(()) => drop(self.counts.exported.fetch_add(count, Relaxed)),
            Err(reason) => {
                self.counts.failed.fetch_add(count, Relaxed);
                if self.told_at.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
                    self.told_at = Some(Instant::now());
                    let endpoint = self.terms.endpoint.host();
                    tracing::warn!(spans = count, endpoint, "spans were not exported: {reason}");
                }
            }
        }
        self.counts.waiting.fetch_sub(count, Relaxed);
    }

    fn encode(&self, batch: Vec<Span>) -> ExportTraceServiceRequest {
        let about = [
            ("service.name", self.terms.service_name.as_str()),
            ("service.version", env!("CARGO_PKG_VERSION")),
        ];
        let resource = Resource {
            attributes: about.into_iter().map(|(key, value)| attribute(key, value.into())).collect(),
            ..Resource::default()
        };
        let scope = InstrumentationScope { name: "limen".to_owned(), ..InstrumentationScope::default() };
        let scope_spans = ScopeSpans {
            scope: Some(scope),
            spans: batch.into_iter().map(Into::into).collect(),
            ..ScopeSpans::default()
        };
        let all = ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![scope_spans],
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest { resource_spans: vec![all] }
    }

    async fn post(&self, body: Bytes) -> Result<(), Failure> {
        let endpoint = &self.terms.endpoint;
        let host = endpoint.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = endpoint.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await.map_err(now)?;
        match &self.tls {
            None => self.ask(stream, body).await,
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(now)?;
                self.ask(tls.connect(name, stream).await.map_err(now)?, body).await
            }
        }
    }

    async fn ask(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        body: Bytes,
    ) -> Result<(), Failure> {
        let endpoint = &self.terms.endpoint;
        let path = match endpoint.path() {
            "" | "/" => "/v1/traces",
            path => path,
        };
        let mut request = Request::post(path)
            .header(header::HOST, endpoint.authority().map_or("", |authority| authority.as_str()))
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .body(Full::new(body))
            .map_err(now)?;
        for (name, value) in &self.terms.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(now)?;
        let asking = async {
            let answer = sender.send_request(request).await.map_err(now)?;
            let status = answer.status();
            // What it says of an error is for its own log.
            let _ = Limited::new(answer.into_body(), ANSWER).collect().await;
            match status {
                status if status.is_success() => Ok(()),
                // Those that OTLP says to try again.
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => Err(Failure::Now(format!("the collector answers {status}"))),
                status => Err(Failure::Refused(format!("the collector answers {status}"))),
            }
        };
        let mut asking = std::pin::pin!(asking);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            outcome = asking.as_mut() => outcome,
            // It may have ended with the answer.
            _ = connection.as_mut() => asking.await,
        }
    }
}

fn now(error: impl std::error::Error) -> Failure {
    Failure::Now(error.to_string())
}

/// TLS that trusts whom the system trusts.
fn connector() -> io::Result<TlsConnector> {
    let roots = roots::of_system();
    if roots.is_empty() {
        return Err(io::Error::other("no roots of the system were found to verify the collector by"));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
