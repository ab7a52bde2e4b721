//! HTTP clients: HTTP/1.1 and HTTP/2, plain and over TLS, one connection at a time.
//!
//! A [`Client`] opens a connection for each request. [`Client::connect`] gives a [`Connection`] that
//! stays open from one request to the next.

use crate::body::{self, Body, Checked};
use crate::certs::{Certs, Pair};
use crate::eventually::PATIENCE;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};

/// What went wrong, with its causes.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// How to speak to a server.
#[derive(Clone)]
pub struct Client {
    http2: bool,
    tls: Option<Arc<rustls::ClientConfig>>,
    server_name: Option<String>,
    address: Option<IpAddr>,
}

impl Client {
    pub fn http1() -> Client {
        Client { http2: false, tls: None, server_name: None, address: None }
    }

    /// HTTP/2: negotiated over TLS, with prior knowledge in clear.
    pub fn http2() -> Client {
        Client { http2: true, ..Client::http1() }
    }

    /// Makes `https` URLs work, for servers that show a certificate of this authority.
    pub fn trusting(self, certs: &Certs) -> Client {
        let mut tls = certs.client_config();
        tls.alpn_protocols = vec![if self.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Client { tls: Some(Arc::new(tls)), ..self }
    }

    /// As [`Client::trusting`], and shows this certificate.
    pub fn showing(self, certs: &Certs, pair: &Pair) -> Client {
        let mut tls = certs.client_config_with(Some(pair), rustls::DEFAULT_VERSIONS);
        tls.alpn_protocols = vec![if self.http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Client { tls: Some(Arc::new(tls)), ..self }
    }

    /// Asks for this server in the TLS handshake (SNI), instead of for the URL's host.
    pub fn server_name(self, name: &str) -> Client {
        Client { server_name: Some(name.to_owned()), ..self }
    }

    /// Connects from this address, such as another one of the loopback, where the system chooses the port.
    pub fn from_address(self, address: IpAddr) -> Client {
        Client { address: Some(address), ..self }
    }

    pub fn get(&self, url: impl AsRef<str>) -> Request<'static> {
        self.request(Method::GET, url)
    }

    pub fn post(&self, url: impl AsRef<str>) -> Request<'static> {
        self.request(Method::POST, url)
    }

    pub fn request(&self, method: Method, url: impl AsRef<str>) -> Request<'static> {
        let url: Uri = url.as_ref().parse().expect("a URL");
        Request::new(Via::New(self.clone()), method, url)
    }

    /// Opens a connection to the URL's host.
    pub async fn connect(&self, url: impl AsRef<str>) -> Result<Connection, Error> {
        let url: Uri = url.as_ref().parse()?;
        let authority = url.authority().ok_or("a URL with a host")?.clone();
        let default_port = if url.scheme_str() == Some("https") { 443 } else { 80 };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(default_port);
        let socket = match self.address {
            None => TcpStream::connect((&*host, port)).await?,
            Some(address) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
                socket.bind(SocketAddr::new(address, 0))?;
                socket.connect(SocketAddr::new(host.parse()?, port)).await?
            }
        };
        socket.set_nodelay(true)?;
        if url.scheme_str() != Some("https") {
            return self.handshake(url, socket).await;
        }
        let tls = self.tls.clone().ok_or("https needs Client::trusting")?;
        let name = self.server_name.clone().unwrap_or(host).try_into()?;
        let socket = tokio_rustls::TlsConnector::from(tls).connect(name, socket).await?;
        self.handshake(url, socket).await
    }

    async fn handshake<S>(&self, url: Uri, socket: S) -> Result<Connection, Error>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let socket = TokioIo::new(socket);
        let sender = if self.http2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), socket).await?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(socket).await?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        };
        Ok(Connection { url, sender })
    }
}

/// An open connection, used again by every request made on it.
pub struct Connection {
    url: Uri,
    sender: Sender,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Connection {
    /// `path` is that of the URL, such as `/users?page=2`.
    pub fn get(&mut self, path: &str) -> Request<'_> {
        self.request(Method::GET, path)
    }

    pub fn post(&mut self, path: &str) -> Request<'_> {
        self.request(Method::POST, path)
    }

    pub fn request(&mut self, method: Method, path: &str) -> Request<'_> {
        let mut parts = self.url.clone().into_parts();
        parts.path_and_query = Some(path.parse().expect("a path"));
        let url = Uri::from_parts(parts).expect("a URL");
        Request::new(Via::Open(self), method, url)
    }

    /// Whether the server has closed it.
    pub fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    async fn send(&mut self, request: http::Request<Body>) -> Result<http::Response<Incoming>, Error> {
        match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                Ok(sender.send_request(request).await?)
            }
        }
    }
}

/// A request being made up; `send` it, or `open` it to read the answer's body piece by piece.
#[must_use]
pub struct Request<'a> {
    via: Via<'a>,
    method: Method,
    url: Uri,
    host: Option<String>,
    headers: HeaderMap,
    body: Body,
}

enum Via<'a> {
    New(Client),
    Open(&'a mut Connection),
}

impl<'a> Request<'a> {
    fn new(via: Via<'a>, method: Method, url: Uri) -> Request<'a> {
        Request { via, method, url, host: None, headers: HeaderMap::new(), body: body::empty() }
    }

    /// Adds a header; one of the same name may be there already.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().expect("a header name");
        self.headers.append(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// Names this host (`host`, or HTTP/2's `:authority`) instead of the URL's.
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// A body in one piece.
    pub fn body(self, content: impl Into<Bytes>) -> Self {
        self.stream(body::full(content))
    }

    /// Any body: see [`mod@crate::body`].
    pub fn stream(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// Sends it and reads the whole answer; panics if there is none.
    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.url);
        self.try_send().await.unwrap_or_else(|error| panic!("{what}: {}", causes(&*error)))
    }

    /// Sends it and reads the whole answer.
    pub async fn try_send(self) -> Result<Answer, Error> {
        in_time(async { self.try_open().await?.collect().await }).await
    }

    /// Sends it and returns when the answer's head is there; panics if there is none.
    pub async fn open(self) -> Arriving {
        let what = format!("{} {}", self.method, self.url);
        self.try_open().await.unwrap_or_else(|error| panic!("{what}: {}", causes(&*error)))
    }

    /// Sends it and returns when the answer's head is there.
    pub async fn try_open(self) -> Result<Arriving, Error> {
        in_time(self.answer()).await
    }

    async fn answer(self) -> Result<Arriving, Error> {
        let Request { via, method, url, host, headers, body } = self;
        let mut opened = None;
        let connection = match via {
            Via::Open(connection) => connection,
            Via::New(client) => opened.insert(client.connect(url.to_string()).await?),
        };
        let host = host.unwrap_or_else(|| url.authority().map(|it| it.to_string()).unwrap_or_default());
        let mut request = http::Request::new(body);
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        match connection.sender {
            Sender::Http1(_) => {
                *request.uri_mut() = url.path_and_query().map_or("/", |it| it.as_str()).parse()?;
                request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_str(&host)?);
            }
            Sender::Http2(_) => {
                let mut parts = url.into_parts();
                parts.authority = Some(host.parse()?);
                *request.uri_mut() = Uri::from_parts(parts)?;
            }
        }
        let (head, body) = connection.send(request).await?.into_parts();
        let http::response::Parts { status, version, headers, .. } = head;
        Ok(Arriving { status, version, headers, body, _connection: opened })
    }
}

/// An answer whose body is still on its way.
pub struct Arriving {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    body: Incoming,
    /// If it was opened for this request alone.
    _connection: Option<Connection>,
}

impl Arriving {
    /// The next piece of the body; `None` at its end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.body.frame().await.transpose()?.map(|frame| frame.into_data()) {
                Some(Ok(data)) => return Ok(Some(data)),
                Some(Err(_trailers)) => {}
                None => return Ok(None),
            }
        }
    }

    /// Reads a body of [`body::sized`] or [`body::chunked`] to its end, keeping nothing of it: its length.
    pub async fn count(mut self) -> Result<u64, Error> {
        let mut checked = Checked::default();
        while let Some(piece) = self.piece().await? {
            checked.take(&piece)?;
        }
        Ok(checked.bytes)
    }

    /// Reads the rest of the body.
    pub async fn collect(self) -> Result<Answer, Error> {
        let Arriving { status, version, headers, body, _connection } = self;
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status, version, headers, body })
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The header's first value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics if it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}), status {}: {}", self.status, self.text()))
    }
}

/// An error and what it says of its causes, in one line.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

async fn in_time<T>(asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("no answer in {PATIENCE:?}").into()),
    }
}
