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
use crate::worker::alive;

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
        let stream = enter(playing, ask, sender).await?;
        let response = match playing.scene.http2 {
            true => by_http2(stream, ask).await,
            false => by_http1(stream, ask).await,
        };
        // Whoever has something left to do for the connection holds its sender.
        gone.recv().await;
        response
    });
    visit.await.map_err(|_| format!("there was no end within {LONGEST:?}"))?
}

/// A connection to the gateway, which knows of the client what the case says.
async fn enter(playing: &Playing<'_>, ask: &Ask, alive: crate::worker::Alive) -> Result<TcpStream, String> {
    let failed = |error: std::io::Error| format!("no connection: {error}");
    let (ours, theirs) = tokio::join!(TcpStream::connect(playing.address), playing.front.accept());
    let (ours, (stream, peer)) = (ours.map_err(failed)?, theirs.map_err(failed)?);
    // Small pieces are to arrive as such.
    ours.set_nodelay(true).map_err(failed)?;
    let ip = ask.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let address = SocketAddr::new(ip, peer.port());
    let terms = playing.scene.snapshot.listeners.first().map(|listener| listener.terms.clone());
    let terms = terms.ok_or("the gateway has no listener")?;
    let permit = terms.admit(address).ok_or("the gateway takes no connection")?;
    let tls = ask.certificate.as_deref().map(certificate).transpose()?;
    let door = Door::new();
    door.moved(0);
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
    Ok(ours)
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

async fn by_http1(stream: TcpStream, ask: &Ask) -> Result<Response, String> {
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("no connection: {error}"))?;
    tokio::task::spawn_local(connection);
    let mut request = request(ask, ask.target.parse::<Uri>().map_err(|error| error.to_string())?);
    request.headers_mut().entry(header::HOST).or_insert(HOST);
    let response = sender.send_request(request).await.map_err(|error| no_answer(&error))?;
    Ok(collect(response).await)
}

async fn by_http2(stream: TcpStream, ask: &Ask) -> Result<Response, String> {
    let (mut sender, connection) = http2::handshake(Here, TokioIo::new(stream))
        .await
        .map_err(|error| format!("no connection: {error}"))?;
    tokio::task::spawn_local(connection);
    let mut request = request(ask, Uri::default());
    let host = request.headers_mut().remove(header::HOST).unwrap_or(HOST);
    let host = host.to_str().unwrap_or_default();
    let uri = Uri::builder().scheme("http").authority(host).path_and_query(ask.target.as_str()).build();
    *request.uri_mut() = uri.map_err(|error| error.to_string())?;
    *request.version_mut() = Version::HTTP_2;
    let response = sender.send_request(request).await.map_err(|error| no_answer(&error))?;
    Ok(collect(response).await)
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

async fn collect(response: http::Response<hyper::body::Incoming>) -> Response {
    let (head, body) = response.into_parts();
    Response { status: head.status, headers: head.headers, read: wire::read(body).await }
}
