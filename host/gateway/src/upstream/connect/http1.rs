//! HTTP/1.1 to an endpoint: one request after another.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use limen_config::ResponseHead;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::body::RequestBody;
use crate::upstream::tally::Open;

use super::watch::{Awaited, Watch};

/// hyper keeps that many header fields on the stack, and asks for memory when told of another number.
const USUAL_HEADERS: usize = 100;
/// What is read at once and waits to be sent on: 1,000 answers to clients that take nothing hold no more
/// than so many times this.
const READ_BUFFER: usize = 128 << 10;

/// A connection, from the side that sends requests.
pub struct Http1 {
    sender: SendRequest<RequestBody>,
    awaited: Arc<Awaited>,
}

/// Whether the request asked to switch protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    ForUpgrade,
    ForAnswer,
}

/// Begins HTTP/1.1. The connection's task ends with the sender or when the other side closes; what goes
/// wrong on it the request that uses it is told.
pub async fn handshake<S>(stream: S, head: &ResponseHead, open: Open) -> hyper::Result<Http1>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let awaited = Arc::<Awaited>::default();
    let mut builder = Builder::new();
    let size = usize::try_from(head.size).unwrap_or(usize::MAX);
    builder.max_header_size(size).max_buf_size(READ_BUFFER.max(size + 1));
    if head.headers != USUAL_HEADERS {
        builder.max_headers(head.headers);
    }
    let stream = Watch::new(stream, awaited.clone(), open);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(async move {
        let _ = connection.with_upgrades().await;
    });
    Ok(Http1 { sender, awaited })
}

impl Http1 {
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Waits until the last response has ended.
    pub async fn ready(&mut self) -> hyper::Result<()> {
        self.sender.ready().await
    }

    /// Sends a request and waits for the head of its response. `keep` if it may be sent again should the
    /// connection turn out to have been closed: see [`unanswered`](Self::unanswered).
    pub async fn send(
        &mut self,
        mut request: Box<Request<RequestBody>>,
        keep: bool,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        if request.uri().authority().is_some() {
            into_origin_form(&mut request);
        }
        self.awaited.set(keep);
        self.sender.try_send_request(*request).await
    }

    /// The request that was kept, if the connection was closed before anything came back: none if not all
    /// of it was written, or it is too long.
    pub fn unanswered(&self) -> Option<Request<RequestBody>> {
        again(&self.awaited.unanswered()?)
    }
}

/// The request that was written so.
fn again(written: &[u8]) -> Option<Request<RequestBody>> {
    // None is shorter than `a:` with its line end.
    let mut fields = vec![httparse::EMPTY_HEADER; written.len() / 4];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = head.parse(written).ok()? else { return None };
    let mut request = Request::new(RequestBody::Empty);
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = Uri::try_from(head.path?).ok()?;
    for field in head.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    let announced = match request.headers().get(header::CONTENT_LENGTH) {
        _ if request.headers().contains_key(header::TRANSFER_ENCODING) => return None,
        None => 0,
        Some(length) => length.to_str().ok()?.parse::<usize>().ok()?,
    };
    let body = written.get(length..)?;
    if !body.is_empty() {
        *request.body_mut() = RequestBody::Full(Bytes::copy_from_slice(body).into());
    }
    (body.len() == announced).then_some(request)
}

/// A request that was made up for HTTP/2, in HTTP/1.1's form again.
fn into_origin_form(request: &mut Request<RequestBody>) {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    if !request.headers().contains_key(header::HOST)
        && let Some(host) = authority.and_then(|authority| HeaderValue::try_from(authority).ok())
    {
        request.headers_mut().insert(header::HOST, host);
    }
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
}

/// Refuses what can be read in two ways (RFC 9112, section 6.3), and makes one of what is said twice.
/// For HTTP/2 as well: what is passed on may be so in HTTP/1.1.
pub fn check(head: &mut http::response::Parts, asked: Asked) -> Result<(), &'static str> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS && asked == Asked::ForAnswer {
        return Err("it switches protocols without being asked to (101)");
    }
    if head.headers.contains_key(header::TRANSFER_ENCODING) {
        check_transfer_encoding(&head.headers)?;
    }
    let mut lengths = head.headers.get_all(header::CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(()),
        (Some(one), None) if is_number(one.as_bytes()) => Ok(()),
        _ => agree_on_length(&mut head.headers),
    }
}

fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), &'static str> {
    if headers.contains_key(header::CONTENT_LENGTH) {
        return Err("it has Content-Length and Transfer-Encoding");
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err("its Transfer-Encoding is not `chunked`"),
    }
}

/// The same length several times is that length (RFC 9110, section 8.6).
fn agree_on_length(headers: &mut HeaderMap) -> Result<(), &'static str> {
    let values = headers.get_all(header::CONTENT_LENGTH);
    let mut lengths = values.iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let first = lengths.next().map(<[u8]>::trim_ascii).unwrap_or_default();
    if !is_number(first) {
        return Err("its Content-Length is no number");
    }
    if lengths.any(|length| length.trim_ascii() != first) {
        return Err("it has differing Content-Lengths");
    }
    let length = HeaderValue::from_bytes(first).map_err(|_| "its Content-Length is no number")?;
    headers.insert(header::CONTENT_LENGTH, length);
    Ok(())
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(headers: &[(&'static str, &'static str)]) -> Result<Vec<String>, &'static str> {
        let mut head = Response::new(()).into_parts().0;
        for (name, value) in headers {
            head.headers.append(*name, HeaderValue::from_static(value));
        }
        check(&mut head, Asked::ForAnswer)?;
        Ok(head.headers.values().map(|value| value.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn a_body_has_one_length() {
        for (lengths, settled) in [
            (&["5"][..], Some("5")),
            (&["5", "5"], Some("5")),
            (&["5, 5"], Some("5")),
            (&["5,5", "5"], Some("5")),
            (&["5", "6"], None),
            (&["5, 6"], None),
            (&["5", "05"], None),
            (&["+5"], None),
            (&["5 5"], None),
            (&["5", ""], None),
            (&[""], None),
            (&["0x5"], None),
        ] {
            let headers: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
            let expected = settled.map(|length| vec![length.to_owned()]);
            assert_eq!(checked(&headers).ok(), expected, "{lengths:?}");
        }
    }

    #[test]
    fn a_body_is_framed_in_one_way() {
        assert!(checked(&[("transfer-encoding", "Chunked")]).is_ok());
        for headers in [
            &[("transfer-encoding", "chunked"), ("content-length", "5")][..],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "identity")],
            &[("transfer-encoding", "")],
        ] {
            assert!(checked(headers).is_err(), "{headers:?}");
        }
    }

    #[test]
    fn what_was_written_as_a_whole_can_go_again() {
        let head = "PUT /a?b HTTP/1.1\r\nhost: x\r\nx-a: 1\r\nx-a: \r\ncontent-length: 5\r\n\r\n";
        let request = again(format!("{head}hello").as_bytes()).unwrap();
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::PUT, "/a?b"));
        let values: Vec<_> =
            request.headers().get_all("x-a").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!((request.headers().len(), values[0], values[1]), (4, "1", ""));
        assert!(matches!(request.body(), RequestBody::Full(whole) if whole.bytes == "hello"));
        let bare = again(b"OPTIONS * HTTP/1.1\r\n\r\n").unwrap();
        assert!(matches!(bare.body(), RequestBody::Empty) && bare.uri() == "*");
        for cut in ["", "hell", "hello!"] {
            assert!(again(format!("{head}{cut}").as_bytes()).is_none());
        }
        assert!(again(&head.as_bytes()[..20]).is_none());
        let chunked = b"PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
        assert!(again(chunked).is_none());
    }

    #[test]
    fn nobody_switches_protocols_unasked() {
        let mut head = Response::new(()).into_parts().0;
        head.status = StatusCode::SWITCHING_PROTOCOLS;
        assert!(check(&mut head, Asked::ForAnswer).is_err());
        assert!(check(&mut head, Asked::ForUpgrade).is_ok());
    }
}
