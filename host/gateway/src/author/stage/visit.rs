//! A client: one request over a connection of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use limen_config::suite::Ask;
use limen_policy::TlsFacts;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::TcpStream;

use super::Playing;
use super::wire::{self, Here, Read, Sent};
use crate::listener::connection::{self, New};
use crate::listener::door::Door;
use crate::listener::tls;
use crate::worker::{Alive, alive};

/// A step that takes longer does not end: the gateway's own limits are shorter.
const LONGEST: Duration = Duration::from_secs(120);

/// What hosts are called that nobody has named.
const HOST: HeaderValue = HeaderValue::from_static("policy.test");

/// What the client has read.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub read: Read,
}

/// Asks, reads the answer, and waits until the gateway has done with the exchange.
pub async fn visit(playing: &Playing<'_>, ask: &Ask) -> Result<Response, String> {
    let visit = tokio::time::timeout(LONGEST, async {
        let (sender, mut gone) = alive();
        let mut visitor = enter(playing, ask, 0, sender).await?;
        let response = visitor.ask(ask).await;
        drop(visitor);
        // Whoever has something left to do for the connection holds its sender.
        gone.recv().await;
        response
    });
    visit.await.map_err(|_| format!("there was no end within {LONGEST:?}"))?
}

/// Who has a connection.
pub enum Visitor {
    Http1(http1::SendRequest<Sent>),
    Http2(http2::SendRequest<Sent>),
}

/// A connection to the gateway, which knows of the client what the case says.
pub async fn enter(
    playing: &Playing<'_>,
    ask: &Ask,
    listener: usize,
    alive: Alive,
) -> Result<Visitor, String> {
    let failed = |error: std::io::Error| format!("no connection: {error}");
    let (ours, theirs) = tokio::join!(TcpStream::connect(playing.address), playing.front.accept());
    let (ours, (stream, peer)) = (ours.map_err(failed)?, theirs.map_err(failed)?);
    // Small pieces are to arrive as such.
    ours.set_nodelay(true).map_err(failed)?;
    let ip = ask.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let address = SocketAddr::new(ip, peer.port());
    let terms = playing.scene.snapshot.listeners.get(listener).map(|listener| listener.terms.clone());
    let terms = terms.ok_or("the gateway has no such listener")?;
    let permit = terms.admit(address).ok_or("the gateway takes no connection")?;
    let tls = ask.certificate.as_deref().map(certificate).transpose()?;
    let door = Door::new();
    door.moved(listener);
    let worker = playing.worker.clone();
    tokio::task::spawn_local(connection::serve(New {
        worker,
        stream,
        address,
        tls,
        permit,
        door,
        terms,
        alive,
    }));
    Visitor::greet(ours, playing.scene.http2).await.map_err(|error| format!("no connection: {error}"))
}

/// What a handshake with this certificate tells.
fn certificate(file: &std::path::Path) -> Result<Arc<TlsFacts>, String> {
    let der = CertificateDer::from_pem_file(file)
        .map_err(|error| format!("{}: not a certificate: {error}", file.display()))?;
    Ok(Arc::new(TlsFacts {
        version: TlsFacts::V1_3,
        server_name: None,
        certificate: Some(tls::certificate(&der)),
    }))
}

impl Visitor {
    async fn greet(stream: TcpStream, http2: bool) -> hyper::Result<Self> {
        let io = TokioIo::new(stream);
        Ok(match http2 {
            true => {
                let (sender, connection) = http2::handshake(Here, io).await?;
                tokio::task::spawn_local(connection);
                Visitor::Http2(sender)
            }
            false => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::task::spawn_local(connection);
                Visitor::Http1(sender)
            }
        })
    }

    /// Sends a request, and reads the whole answer.
    pub async fn ask(&mut self, ask: &Ask) -> Result<Response, String> {
        let response = match self {
            Visitor::Http1(sender) => {
                let mut request = request(ask, ask.target.parse().map_err(|_| "not a target")?);
                request.headers_mut().entry(header::HOST).or_insert(HOST);
                sender.ready().await.map_err(|error| no_answer(&error))?;
                sender.send_request(request).await
            }
            Visitor::Http2(sender) => {
                let mut request = request(ask, Uri::default());
                let host = request.headers_mut().remove(header::HOST).unwrap_or(HOST);
                let host = host.to_str().unwrap_or_default();
                let uri = Uri::builder().scheme("http").authority(host).path_and_query(ask.target.as_str());
                *request.uri_mut() = uri.build().map_err(|error| error.to_string())?;
                *request.version_mut() = Version::HTTP_2;
                sender.ready().await.map_err(|error| no_answer(&error))?;
                sender.send_request(request).await
            }
        };
        let (head, body) = response.map_err(|error| no_answer(&error))?.into_parts();
        Ok(Response { status: head.status, headers: head.headers, read: wire::read(body).await })
    }
}

fn request(ask: &Ask, uri: Uri) -> Request<Sent> {
    let mut request = Request::new(Sent::new(&ask.content, &ask.trailers));
    let usual = if ask.content == Default::default() { Method::GET } else { Method::POST };
    *request.method_mut() = ask.method.clone().unwrap_or(usual);
    *request.uri_mut() = uri;
    wire::fill(request.headers_mut(), &ask.headers, &ask.content);
    request
}

fn no_answer(error: &hyper::Error) -> String {
    format!("the gateway closed the connection without an answer ({error})")
}
