//! Messages as they are sent and read, by the client and by upstreams.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use limen_config::suite::Content;

/// More of a body is not kept: it is an end that is missing.
const LARGEST: usize = 256 << 20;

/// A body that is sent piece by piece.
pub struct Sent {
    pieces: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    /// Known if it is sent as a whole.
    length: Option<u64>,
    /// It has no end.
    breaks: bool,
}

/// A message that was read.
#[derive(Clone, Debug, Default)]
pub struct Read {
    pub body: Bytes,
    pub trailers: HeaderMap,
    /// Why it has no end.
    pub broken: Option<String>,
}

impl Sent {
    pub fn new(content: &Content, trailers: &[(HeaderName, HeaderValue)]) -> Self {
        let pieces = content.pieces().filter(|piece| !piece.is_empty()).map(Bytes::copy_from_slice);
        let is_whole = content.ends.is_none() && trailers.is_empty();
        Sent {
            pieces: pieces.collect(),
            trailers: (!trailers.is_empty()).then(|| trailers.iter().cloned().collect()),
            length: is_whole.then_some(content.bytes.len() as u64),
            breaks: false,
        }
    }

    /// The same, up to where its end would be.
    pub fn broken(self) -> Self {
        // An end has to be missed by who reads it.
        Sent { breaks: true, length: None, ..self }
    }
}

/// Puts these headers into a head, and says what kind of body follows it.
pub fn fill(headers: &mut HeaderMap, with: &[(HeaderName, HeaderValue)], content: &Content) {
    for (name, value) in with {
        headers.append(name, value.clone());
    }
    if content.is_json {
        headers.entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    }
}

/// Reads a message to its end.
pub async fn read<B>(mut body: B) -> Read
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut read = Read::default();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) if bytes.len() + data.len() > LARGEST => {
                read.broken = Some("it is too long".to_owned());
                break;
            }
            Ok(Ok(data)) => bytes.extend_from_slice(&data),
            Ok(Err(frame)) => read.trailers.extend(frame.into_trailers().unwrap_or_default()),
            Err(error) => {
                read.broken = Some(error.to_string());
                break;
            }
        }
    }
    read.body = bytes.into();
    read
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(piece) = self.pieces.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if std::mem::take(&mut self.breaks) {
            return Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.trailers.is_none() && !self.breaks
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Runs what hyper spawns on this thread.
#[derive(Clone)]
pub struct Here;

impl<F: Future + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
