//! One check of one endpoint.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use limen_config::Probe;
use tokio::net::TcpStream;

use crate::body::RequestBody;
use crate::upstream::connect::{Connector, Link, Offer};
use crate::upstream::endpoint::Address;
use crate::upstream::failure::describe;
use crate::upstream::tally::Tally;

/// What of a body is looked at.
const MOST_OF_BODY: usize = 64 << 10;
const USER_AGENT: HeaderValue = HeaderValue::from_static("limen-health");

/// Answers why the endpoint does not pass. Runs where tasks can be spawned locally.
pub async fn probe(
    address: &Address,
    connector: &Connector,
    probe: &Probe,
    limit: Duration,
) -> Result<(), String> {
    let asked = async {
        match probe {
            Probe::Http { path, host, status, body } => {
                let request = Request::get(path);
                let request = request.header(header::HOST, authority(address, host.as_ref())?);
                let mut request = finish(request, RequestBody::Empty)?;
                let mut link = connect(connector, address, Offer::Configured, limit).await?;
                if let Link::Http1(_) = link {
                    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                let response = send(&mut link, address, request).await?;
                expect(response, status.as_deref(), body.as_deref()).await
            }
            Probe::Grpc { service, host } => {
                let mut link = connect(connector, address, Offer::Http2, limit).await?;
                let request = Request::post("/grpc.health.v1.Health/Check")
                    .header(header::HOST, authority(address, host.as_ref())?)
                    .header(header::CONTENT_TYPE, "application/grpc")
                    .header(header::TE, "trailers");
                let request = finish(request, RequestBody::Full(check_request(service).into()))?;
                serves(send(&mut link, address, request).await?).await
            }
            Probe::Tcp => {
                let stream = TcpStream::connect(address.socket()).await;
                stream.map(drop).map_err(|error| format!("no connection: {error}"))
            }
        }
    };
    tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| Err(format!("nothing within {limit:?}")))
}

async fn connect(
    connector: &Connector,
    address: &Address,
    offer: Offer,
    limit: Duration,
) -> Result<Link, String> {
    // Not counted among the connections of requests.
    let uncounted = Arc::<Tally>::default();
    let link = connector.connect(address, offer, limit, &uncounted, None).await;
    link.map_err(|failure| failure.reason)
}

fn finish(request: http::request::Builder, body: RequestBody) -> Result<Request<RequestBody>, String> {
    request.header(header::USER_AGENT, USER_AGENT).body(body).map_err(|error| error.to_string())
}

async fn send(
    link: &mut Link,
    address: &Address,
    request: Request<RequestBody>,
) -> Result<Response<Incoming>, String> {
    let response = match link {
        Link::Http1(http1) => http1.send(Box::new(request), false).await,
        Link::Http2(http2) => http2.send(Box::new(request), address.scheme).await,
    };
    response.map_err(|error| describe(error.error()))
}

async fn expect(
    response: Response<Incoming>,
    good: Option<&[StatusCode]>,
    text: Option<&str>,
) -> Result<(), String> {
    let status = response.status();
    if !good.map_or(status.is_success(), |good| good.contains(&status)) {
        return Err(format!("status {}", status.as_u16()));
    }
    match text {
        Some(text) => contains(response.into_body(), text).await,
        None => Ok(()),
    }
}

/// Reads no more of the body than it takes.
async fn contains(mut body: Incoming, text: &str) -> Result<(), String> {
    let mut seen: Vec<u8> = Vec::new();
    while seen.len() < MOST_OF_BODY && !text.is_empty() {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame.map_err(|error| describe(&error))?.into_data() else { continue };
        // It may begin in what came before.
        let start = (seen.len() + 1).saturating_sub(text.len());
        seen.extend_from_slice(data.get(..MOST_OF_BODY - seen.len()).unwrap_or(&data));
        let fresh = seen.get(start..).unwrap_or_default();
        if fresh.windows(text.len()).any(|part| part == text.as_bytes()) {
            return Ok(());
        }
    }
    if text.is_empty() { Ok(()) } else { Err(format!("its body has no {text:?}")) }
}

/// Whether that is the answer of a gRPC service that serves.
async fn serves(response: Response<Incoming>) -> Result<(), String> {
    if response.status() != StatusCode::OK {
        return Err(format!("status {}", response.status().as_u16()));
    }
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MOST_OF_BODY).collect().await;
    let body = body.map_err(|error| format!("no answer: {error}"))?;
    // Without a message, the head says what the trailers would.
    let trailers = body.trailers().cloned().unwrap_or(head.headers);
    match grpc_status(&trailers) {
        Some("0") => serving(&body.to_bytes()),
        Some("5") => Err("it does not know this service".to_owned()),
        Some("12") => Err("it has no grpc.health.v1.Health".to_owned()),
        Some(status) => Err(format!("grpc-status {status}")),
        None => Err("no grpc-status".to_owned()),
    }
}

fn grpc_status(headers: &HeaderMap) -> Option<&str> {
    headers.get("grpc-status")?.to_str().ok()
}

/// `message HealthCheckRequest { string service = 1; }`, with gRPC's prefix: not compressed, its length.
fn check_request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            message.put_u8(length as u8 | 0x80);
            length >>= 7;
        }
        message.put_u8(length as u8);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or_default());
    framed.put(message);
    framed.freeze()
}

/// `message HealthCheckResponse { ServingStatus status = 1; }`: `SERVING` is 1.
fn serving(body: &[u8]) -> Result<(), String> {
    match body {
        [0, _, _, _, 2, 0x08, 1, ..] => Ok(()),
        [0, _, _, _, 2, 0x08, 2, ..] => Err("NOT_SERVING".to_owned()),
        [0, _, _, _, 2, 0x08, 3, ..] => Err("SERVICE_UNKNOWN".to_owned()),
        // What is not said is 0, `UNKNOWN`.
        [0, 0, 0, 0, 0] | [0, _, _, _, 2, 0x08, 0, ..] => Err("UNKNOWN".to_owned()),
        _ => Err("not an answer of grpc.health.v1".to_owned()),
    }
}

fn authority(address: &Address, host: Option<&HeaderValue>) -> Result<HeaderValue, String> {
    match host {
        Some(host) => Ok(host.clone()),
        None => HeaderValue::try_from(address.authority()).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_health_protocol() {
        assert_eq!(check_request("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(check_request("a.B")[..], [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        assert_eq!(check_request(&"x".repeat(200))[5..8], [0x0a, 0xc8, 1]);
        assert!(serving(&[0, 0, 0, 0, 2, 8, 1]).is_ok());
        for sick in [&[0, 0, 0, 0, 2, 8, 2][..], &[0, 0, 0, 0, 0], &[], b"<html>"] {
            assert!(serving(sick).is_err(), "{sick:?}");
        }
    }
}
