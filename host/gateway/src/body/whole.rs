//! A body that is all here, with the trailers that follow it.

use std::task::Poll;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

/// It goes on in one piece.
#[derive(Clone, Debug, Default)]
pub struct Whole {
    pub bytes: Bytes,
    /// In a box: most bodies have none.
    pub trailers: Option<Box<HeaderMap>>,
}

impl Whole {
    pub fn poll_frame<E>(&mut self) -> Poll<Option<Result<Frame<Bytes>, E>>> {
        let frame = match self.bytes.is_empty() {
            false => Some(Frame::data(std::mem::take(&mut self.bytes))),
            true => self.trailers.take().map(|trailers| Frame::trailers(*trailers)),
        };
        Poll::Ready(frame.map(Ok))
    }

    pub fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.trailers.is_none()
    }

    /// Not exact where trailers follow: HTTP/1.1 has them only behind a body in chunks.
    pub fn size_hint(&self) -> SizeHint {
        let length = self.bytes.len() as u64;
        let mut hint = SizeHint::new();
        match self.trailers {
            None => hint.set_exact(length),
            Some(_) => hint.set_lower(length),
        }
        hint
    }
}

impl From<Bytes> for Whole {
    fn from(bytes: Bytes) -> Self {
        Whole { bytes, trailers: None }
    }
}
