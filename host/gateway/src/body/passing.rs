//! The body of a request that goes through policies, on its way to the upstream.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::copied::{self, Copied, Tap};
use super::request::{Bounds, RequestBody, Upload, UploadError, UploadFailure};
use super::{CollectError, Filtered, Idle, Whole, collect};

/// A body that goes through policies.
pub struct Passing {
    body: Filtered<RequestBody>,
    /// How far the body has come that it is made of.
    upload: Option<Rc<Upload>>,
    /// For all of it, where a policy waits for it.
    whole: Duration,
    /// Takes what goes on along to a copy.
    tap: Option<Tap>,
}

impl Passing {
    pub fn new(body: Filtered<RequestBody>, upload: Option<Rc<Upload>>, whole: Duration) -> Self {
        Passing { body, upload, whole, tap: None }
    }

    pub fn upload(&self) -> Option<Rc<Upload>> {
        self.upload.clone()
    }

    pub fn whole(&self) -> Duration {
        self.whole
    }

    /// Waits for the first that goes on; true if there is nothing.
    pub async fn begin(&mut self) -> bool {
        self.body.begin().await;
        self.body.has_ended()
    }

    /// All of it, if it is not longer than this.
    pub async fn collect(&mut self, limit: u64) -> Result<Whole, CollectError> {
        collect_within(&mut self.body, self.upload.as_deref(), self.whole, limit).await
    }

    /// A copy of what goes on, which may lag behind by `bound` bytes.
    pub fn copy(&mut self, bound: u64) -> Copied {
        let upload = self.upload().unwrap_or_else(Upload::new);
        let (tap, copied) = copied::pair(bound, upload, SizeHint::default());
        self.tap = Some(tap);
        copied
    }

    pub fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(tap) = &self.tap {
            let is_end = frame.is_none() || self.body.is_end_stream();
            tap.went_by(&frame, is_end);
        }
        Poll::Ready(frame)
    }

    pub fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// Reads all of a body that watches its own idle time.
pub async fn collect_within<B>(
    body: &mut B,
    upload: Option<&Upload>,
    whole: Duration,
    limit: u64,
) -> Result<Whole, CollectError>
where
    B: Body<Data = Bytes, Error = UploadError> + Unpin,
{
    let mut bytes = BytesMut::new();
    let mut idle = Idle::new(Bounds::NONE.idle);
    let collected = collect(body, &mut bytes, &mut idle, limit);
    match tokio::time::timeout(whole, collected).await {
        Ok(Ok(trailers)) => Ok(Whole { bytes: bytes.freeze(), trailers }),
        Ok(Err(error)) => Err(match upload.and_then(Upload::failed) {
            Some(UploadFailure::TooLong(_)) => CollectError::TooLong,
            Some(UploadFailure::TooSlow(_)) => CollectError::TooSlow,
            _ => error,
        }),
        Err(_) => Err(CollectError::TooSlow),
    }
}
