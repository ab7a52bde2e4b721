//! A body that a policy has somewhere else, read as its client takes it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use limen_policy::Source;

use super::StreamError;

pub struct Sourced {
    source: Box<dyn Source>,
    /// What was read and given back.
    ahead: Bytes,
    /// It broke off.
    is_over: bool,
}

impl Sourced {
    pub fn new(source: Box<dyn Source>) -> Self {
        Sourced { source, ahead: Bytes::new(), is_over: false }
    }

    /// It begins with this, which was read and can't be used.
    pub fn put_back(&mut self, ahead: Bytes) {
        self.ahead = ahead;
    }

    pub fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.ahead)))));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        self.source.poll_piece(context).map(|piece| {
            let piece = piece?;
            self.is_over = piece.is_err();
            Some(piece.map(Frame::data).map_err(StreamError::Source))
        })
    }

    pub fn left(&self) -> u64 {
        self.source.left().saturating_add(self.ahead.len() as u64)
    }
}

impl Body for Sourced {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.get_mut().poll_next(context)
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}
