//! A body that a policy has somewhere else, read as its client takes it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use limen_policy::Source;

use super::StreamError;

pub struct Sourced {
    source: Box<dyn Source>,
    /// What was read and given back.
    ahead: Bytes,
    /// Why it broke off: whoever comes to that hears it, also if somebody has before.
    broken: Option<String>,
}

impl Sourced {
    pub fn new(source: Box<dyn Source>) -> Self {
        Sourced { source, ahead: Bytes::new(), broken: None }
    }

    /// It begins with this, which was read and can't be used.
    pub fn put_back(&mut self, ahead: Bytes) {
        self.ahead = ahead;
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
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.ahead)))));
        }
        if this.broken.is_none() {
            match ready!(this.source.poll_piece(context)) {
                Some(Ok(piece)) => return Poll::Ready(Some(Ok(Frame::data(piece)))),
                Some(Err(reason)) => this.broken = Some(reason),
                None if this.source.left() > 0 => this.broken = Some("it ended too early".to_owned()),
                None => return Poll::Ready(None),
            }
        }
        Poll::Ready(this.broken.clone().map(|reason| Err(StreamError::Source(reason))))
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CollectError, ResponseBody};
    use super::*;
    use std::future::poll_fn;

    /// Two pieces, and then this.
    #[derive(Debug)]
    struct Two(usize, Option<String>);

    impl Source for Two {
        fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
            self.0 += 1;
            Poll::Ready(if self.0 < 3 { Some(Ok("ab".into())) } else { self.1.clone().map(Err) })
        }

        fn left(&self) -> u64 {
            10 - 2 * self.0.min(2) as u64
        }
    }

    /// Somebody collects it, and lets it go on as it is when that can't be.
    #[tokio::test]
    async fn one_that_breaks_off_does_so_also_when_it_was_collected_before() {
        for end in [Some("damaged".to_owned()), None] {
            let mut body = ResponseBody::Sourced(Box::new(Sourced::new(Box::new(Two(0, end)))));
            assert!(matches!(body.collect(100).await, Err(CollectError::Broken(_))));
            let ahead = poll_fn(|context| body.poll_frame(context)).await.unwrap().unwrap();
            assert_eq!(ahead.into_data().unwrap(), "abab");
            let broken = poll_fn(|context| body.poll_frame(context)).await;
            assert!(matches!(broken, Some(Err(StreamError::Source(_)))));
        }
    }
}
