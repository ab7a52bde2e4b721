//! Bodies on their way: streamed frame by frame, collected only when a policy asks.

mod request;
mod response;

mod copied;
mod filtered;
mod passing;
mod sourced;
mod tapped;
mod whole;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::time::Sleep;

use crate::head::hop_by_hop;

pub use filtered::{Filtered, Outlet, Refused, Rest};
pub use request::{Bounds, RequestBody, Upload, UploadError, UploadFailure};
pub use response::{ResponseBody, StreamError};
pub use whole::Whole;

/// Why a body could not be collected.
#[derive(Debug)]
pub enum CollectError {
    TooLong,
    TooSlow,
    Broken(String),
}

/// A time limit between two pieces. It costs a timer only when one of them has to be waited for.
struct Idle {
    limit: Duration,
    /// When all of it has to be over, and how long that is in all.
    end: Option<Box<(Instant, Duration)>>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    fn new(limit: Duration) -> Self {
        Idle { limit, end: None, timer: None }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let (limit, end) = (self.limit, self.end.as_deref());
        let timer = self.timer.get_or_insert_with(|| {
            let left = end.map(|(end, _)| end.saturating_duration_since(Instant::now()));
            Box::pin(tokio::time::sleep(left.map_or(limit, |left| left.min(limit))))
        });
        timer.as_mut().poll(context)
    }

    fn moved(&mut self) {
        self.timer = None;
    }

    /// All the time there is, if it is over.
    fn overdue(&self) -> Option<Duration> {
        let (end, limit) = self.end.as_deref()?;
        (Instant::now() >= *end).then_some(*limit)
    }
}

/// Reads a body to its end, into one buffer: a body in pieces of a byte is to cost no more than its
/// length. What was read is in it also when it was too much. Answers the trailers, if there are any.
async fn collect<B: Body<Data = Bytes, Error: fmt::Display> + Unpin>(
    incoming: &mut B,
    whole: &mut BytesMut,
    idle: &mut Idle,
    limit: u64,
) -> Result<Option<Box<HeaderMap>>, CollectError> {
    let mut trailers = None;
    loop {
        let frame = std::future::poll_fn(|context| match Pin::new(&mut *incoming).poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => idle.poll(context).map(|()| Err(CollectError::TooSlow)),
        })
        .await?;
        idle.moved();
        let Some(frame) = frame else { return Ok(trailers) };
        let frame = frame.map_err(|error| CollectError::Broken(error.to_string()))?;
        match frame.into_data() {
            Ok(bytes) => whole.extend_from_slice(&bytes),
            Err(other) => trailers = settle_trailers(other).into_trailers().ok().map(Box::new),
        }
        if whole.len() as u64 > limit {
            return Err(CollectError::TooLong);
        }
    }
}

/// Trailers go on without what only a head may say.
fn settle_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    if frame.is_data() {
        return frame;
    }
    match frame.into_trailers() {
        Ok(mut trailers) => {
            hop_by_hop::strip_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(other) => other,
    }
}
