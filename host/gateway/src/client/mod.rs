//! A small client for what the gateway itself fetches: one request over HTTP/1.1, with or without TLS, and as
//! much of its answer as is wanted. Never on a worker.

mod failure;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::roots;
pub use failure::Failure;

/// How long a connection may take, and its TLS handshake again as long.
const CONNECT: Duration = Duration::from_secs(10);
/// Of an answer that is not what was asked for, what may say why.
const LARGEST_COMPLAINT: u64 = 64 << 10;

/// Whom to believe, whoever is asked.
pub struct Client {
    tls: TlsConnector,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Client {
    /// Reads the roots; without a file, those of the system.
    pub fn new(roots: Option<&Path>) -> Result<Self, Failure> {
        let roots = match roots {
            Some(file) => roots::of_file(file).map_err(Failure::new)?,
            None => roots::of_system(),
        };
        if roots.is_empty() {
            return Err(Failure::new("this system trusts no certificates at all")
                .hint("install the package `ca-certificates`, or name a file of `roots`"));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::new(format!("TLS can't be set up: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Client { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// What answers, with a body of no more than `largest` bytes if it is 200.
    pub async fn get(&self, uri: &Uri, headers: &HeaderMap, largest: u64) -> Result<Answer, Failure> {
        self.get_told(uri, headers, largest, |_| {}).await
    }

    /// The same, and each time that something came of that body it is told how much of it there is.
    pub async fn get_told(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        largest: u64,
        came: impl Fn(u64),
    ) -> Result<Answer, Failure> {
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_tls = uri.scheme() != Some(&Scheme::HTTP);
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = in_time("connection", TcpStream::connect((host, port))).await?;
        if !is_tls {
            return ask(stream, uri, headers, largest, came).await;
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Failure::new(format!("`{host}` is no name that a certificate could be for")))?;
        let stream = in_time("TLS", self.tls.connect(name, stream)).await.map_err(|failure| {
            let is_foreign =
                ["corrupt message", "handshake eof"].iter().any(|it| failure.message.contains(it));
            match is_foreign {
                true => failure.hint("one that has no TLS needs `plain_http = true`"),
                false => failure,
            }
        })?;
        ask(stream, uri, headers, largest, came).await
    }
}

/// Where an answer redirects to, if its scheme is one that may be spoken.
pub fn redirected(from: &Uri, answer: &Answer, may_speak: impl Fn(&Scheme) -> bool) -> Result<Uri, Failure> {
    let location = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let nowhere = || Failure::new("a redirect to nowhere");
    let to = location.and_then(|location| location.parse::<Uri>().ok()).ok_or_else(nowhere)?;
    let to = match (to.scheme(), to.authority(), from.authority()) {
        (None, None, Some(authority)) => {
            uri(from.scheme().unwrap_or(&Scheme::HTTPS), authority, &to.to_string())?
        }
        (Some(scheme), Some(_), _) if may_speak(scheme) => to,
        (Some(scheme), ..) => {
            return Err(Failure::new(format!("a redirect to {scheme}, which is not `https`")));
        }
        _ => return Err(nowhere()),
    };
    if to.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(nowhere());
    }
    Ok(to)
}

pub fn uri(scheme: &Scheme, authority: &Authority, path: &str) -> Result<Uri, Failure> {
    let path = PathAndQuery::try_from(path).map_err(|_| Failure::new("not a path"))?;
    let uri = Uri::builder().scheme(scheme.clone()).authority(authority.clone()).path_and_query(path).build();
    uri.map_err(|_| Failure::new("not an address"))
}

/// Whom it is about: the host alone, for a query may be as good as a key.
pub fn at(uri: &Uri, failure: Failure) -> Failure {
    let host = uri.authority().map_or("", Authority::as_str);
    Failure { message: format!("{host}: {}", failure.message), ..failure }
}

async fn in_time<T>(what: &str, doing: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
    match timeout(CONNECT, doing).await {
        Ok(Ok(done)) => Ok(done),
        // A certificate that is not to be trusted will not be in a moment.
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Failure::new(format!("no {what}: {error}")))
        }
        Ok(Err(error)) => Err(Failure::passing(format!("no {what}: {error}"))),
        Err(_) => Err(Failure::passing(format!("no {what} within {CONNECT:?}"))),
    }
}

async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    uri: &Uri,
    headers: &HeaderMap,
    largest: u64,
    came: impl Fn(u64),
) -> Result<Answer, Failure> {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::get(path)
        .body(Empty::<Bytes>::new())
        .map_err(|error| Failure::new(format!("no request: {error}")))?;
    *request.headers_mut() = headers.clone();
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::try_from(host).map_err(|_| Failure::new("not a host"))?;
    request.headers_mut().insert(header::HOST, host);
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    // The bytes themselves are wanted: a digest is of them.
    request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let asking = async {
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let body = match head.status {
            StatusCode::OK => read(body, largest, came).await?,
            // What it says is of use, but not all of it.
            _ => read(body, LARGEST_COMPLAINT, |_| {}).await.unwrap_or_default(),
        };
        Ok(Answer { status: head.status, headers: head.headers, body })
    };
    let mut asking = std::pin::pin!(asking);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        answer = asking.as_mut() => answer,
        // It may have ended with the answer.
        _ = connection.as_mut() => asking.await,
    }
}

const USER_AGENT: &str = concat!("limen/", env!("CARGO_PKG_VERSION"));

async fn read(mut body: hyper::body::Incoming, largest: u64, came: impl Fn(u64)) -> Result<Vec<u8>, Failure> {
    let too_long = || Failure::new(format!("the answer has more than {largest} bytes"));
    if body.size_hint().lower() > largest {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(broken)?;
        let Some(data) = frame.data_ref() else { continue };
        if (bytes.len() + data.len()) as u64 > largest {
            return Err(too_long());
        }
        bytes.extend_from_slice(data);
        came(bytes.len() as u64);
    }
    Ok(bytes)
}

fn broken(error: hyper::Error) -> Failure {
    let mut what = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        what.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    Failure::passing(format!("the connection broke: {what}"))
}
