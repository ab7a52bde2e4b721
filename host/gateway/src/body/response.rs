//! What comes back, on its way to the client.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use limen_policy::{Exchange, Tap};

use super::sourced::Sourced;
use super::tapped::Tapped;
use super::{CollectError, Filtered, Idle, Refused, Whole, collect, settle_trailers};
use crate::upstream::{Lease, Permit};

/// How long an answer may be that nobody wants and that is read all the same, and how long that takes.
const UNWANTED: u64 = 64 << 10;
const DISCARDING: Duration = Duration::from_secs(5);
/// Where the time limit is watched further inside.
const UNBOUNDED: Duration = Duration::from_secs(24 * 3600);

/// What comes back, on its way to the client.
#[allow(clippy::large_enum_variant, reason = "the large one is the usual one")]
pub enum ResponseBody {
    Full(Whole),
    Stream(Download),
    /// None at all: the connection goes on in another protocol, and is held until that ends.
    Switched(Lease),
    /// What policies see of it on its way.
    Filtered(Box<Filtered<ResponseBody>>),
    /// What a policy gets a copy of.
    Tapped(Box<Tapped>),
    /// What a policy has answered with, and not in memory.
    Sourced(Box<Sourced>),
}

/// The rest of an upstream's answer, and what it holds there.
pub struct Download {
    /// What was read and not passed on: a policy asked for a body that it could not be given.
    ahead: BytesMut,
    /// It broke off while it was read ahead: what was read is passed on, and then that.
    broken: Option<String>,
    incoming: Incoming,
    lease: Option<Lease>,
    idle: Idle,
}

/// Why a body that was being passed on broke off.
#[derive(Debug)]
pub enum StreamError {
    Upstream(hyper::Error),
    /// As `Upstream`, while it was read for a policy.
    Ahead(String),
    Idle(Duration),
    /// All the time that an answer may take is over.
    TooLong(Duration),
    /// A policy broke it off; why it did is told already.
    Policy,
    /// What a policy answered with can't be read on.
    Source(String),
}

impl From<Refused> for StreamError {
    fn from(_: Refused) -> Self {
        StreamError::Policy
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::Upstream(error) => write!(f, "the upstream's body broke off: {error}"),
            StreamError::Ahead(reason) => write!(f, "the upstream's body broke off: {reason}"),
            StreamError::Idle(limit) => write!(f, "the upstream's body did not move for {limit:?}"),
            StreamError::Policy => f.write_str("a policy broke the answer off"),
            StreamError::Source(reason) => write!(f, "a policy's answer broke off: {reason}"),
            StreamError::TooLong(limit) => write!(f, "the upstream's answer took longer than {limit:?}"),
        }
    }
}

impl std::error::Error for StreamError {}

impl ResponseBody {
    /// The body of an answer, which gives back what it holds at the upstream when it has ended.
    pub fn new(status: StatusCode, incoming: Incoming, lease: Lease, idle: Duration) -> Self {
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return ResponseBody::Switched(lease);
        }
        if incoming.is_end_stream() {
            lease.release();
            return ResponseBody::Full(Whole::default());
        }
        let download = Download {
            ahead: BytesMut::new(),
            broken: None,
            incoming,
            lease: Some(lease),
            idle: Idle::new(idle),
        };
        ResponseBody::Stream(download)
    }

    /// What the gateway or a policy has put into the exchange as the body of the answer, if it has.
    pub fn take_local(exchange: &mut Exchange) -> Option<Self> {
        let whole = exchange.response_body.take().map(|bytes| ResponseBody::Full(bytes.into()));
        match exchange.response_source.take() {
            Some(source) => Some(ResponseBody::Sourced(Box::new(Sourced::new(source)))),
            None => whole,
        }
    }

    /// All of it, if it is not longer than this. A body that is too long is as it was.
    pub async fn collect(&mut self, limit: u64) -> Result<Whole, CollectError> {
        match self {
            ResponseBody::Full(whole) if whole.bytes.len() as u64 > limit => Err(CollectError::TooLong),
            ResponseBody::Full(whole) => Ok(std::mem::take(whole)),
            ResponseBody::Switched(_) => Ok(Whole::default()),
            ResponseBody::Filtered(filtered) => {
                collect_apart(&mut **filtered, Filtered::put_back, limit).await
            }
            ResponseBody::Tapped(tapped) => collect_apart(&mut **tapped, Tapped::put_back, limit).await,
            ResponseBody::Sourced(sourced) if sourced.left() > limit => Err(CollectError::TooLong),
            ResponseBody::Sourced(sourced) => collect_apart(&mut **sourced, Sourced::put_back, limit).await,
            ResponseBody::Stream(download) => {
                if download.size_hint().lower() > limit {
                    return Err(CollectError::TooLong);
                }
                let Download { incoming, ahead, idle, broken, .. } = download;
                let collected = collect(incoming, ahead, idle, limit).await;
                if let Err(CollectError::Broken(reason)) = &collected {
                    *broken = Some(reason.clone());
                }
                let trailers = collected?;
                download.release();
                Ok(Whole { bytes: std::mem::take(&mut download.ahead).freeze(), trailers })
            }
        }
    }

    /// Puts something in its way that looks at it, and may change it.
    pub fn filter(&mut self, through: impl FnOnce(ResponseBody) -> Filtered<ResponseBody>) {
        let body = through(std::mem::replace(self, ResponseBody::Full(Whole::default())));
        *self = ResponseBody::Filtered(Box::new(body));
    }

    /// Gives a copy of it to somebody.
    pub fn tap(&mut self, mut tap: Box<dyn Tap>) {
        match self {
            ResponseBody::Full(whole) => {
                if whole.bytes.is_empty() || tap.piece(&whole.bytes) {
                    tap.end();
                }
            }
            ResponseBody::Switched(_) => {}
            ResponseBody::Stream(_)
            | ResponseBody::Filtered(_)
            | ResponseBody::Tapped(_)
            | ResponseBody::Sourced(_) => {
                let body = std::mem::replace(self, ResponseBody::Full(Whole::default()));
                *self = ResponseBody::Tapped(Box::new(Tapped::new(body, tap)));
            }
        }
    }

    /// Whether somebody wants a copy of what is still to come.
    pub fn is_tapped(&self) -> bool {
        matches!(self, ResponseBody::Tapped(tapped) if tapped.is_wanted())
    }

    /// Whether trailers may follow it.
    pub fn may_have_trailers(&self) -> bool {
        match self {
            ResponseBody::Stream(_) | ResponseBody::Filtered(_) | ResponseBody::Tapped(_) => true,
            ResponseBody::Full(whole) => whole.trailers.is_some(),
            ResponseBody::Switched(_) | ResponseBody::Sourced(_) => false,
        }
    }

    /// Waits for the first that goes on, where something looks at it. False if there is an answer instead.
    pub async fn begin(&mut self) -> bool {
        let ResponseBody::Filtered(filtered) = self else { return true };
        let goes_on = filtered.begin().await;
        if filtered.has_ended() {
            *self = ResponseBody::Full(Whole::default());
        }
        goes_on
    }

    /// What is held of an upstream that has switched protocols; from here on the caller holds it.
    pub fn take_lease(&mut self) -> Option<Lease> {
        match std::mem::replace(self, ResponseBody::Full(Whole::default())) {
            ResponseBody::Switched(lease) => Some(lease),
            other => {
                *self = other;
                None
            }
        }
    }

    pub fn replace(&mut self, whole: impl Into<Whole>) {
        *self = ResponseBody::Full(whole.into());
    }

    /// Holds the right to be under way at the upstream until it has ended.
    pub fn hold(&mut self, permit: Permit) {
        match self {
            ResponseBody::Stream(Download { lease: Some(lease), .. }) | ResponseBody::Switched(lease) => {
                lease.hold(permit);
            }
            _ => {}
        }
    }

    /// Breaks off at that moment, which is `limit` after the request.
    pub fn end_by(&mut self, moment: Instant, limit: Duration) {
        if let ResponseBody::Stream(download) = self {
            download.idle.end = Some(Box::new((moment, limit)));
        }
    }

    /// Nobody wants it: a short one is read to its end all the same, so that its connection can be
    /// used again.
    pub fn discard(self) {
        if let ResponseBody::Stream(mut download) = self
            && download.size_hint().upper().is_some_and(|length| length <= UNWANTED)
        {
            tokio::task::spawn_local(tokio::time::timeout(DISCARDING, async move {
                while std::future::poll_fn(|context| download.poll_frame(context)).await.is_some() {}
            }));
        }
    }

    pub fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match self {
            ResponseBody::Full(whole) => whole.poll_frame(),
            ResponseBody::Stream(download) => download.poll_frame(context),
            ResponseBody::Switched(_) => Poll::Ready(None),
            ResponseBody::Filtered(filtered) => Pin::new(&mut **filtered).poll_frame(context),
            ResponseBody::Tapped(tapped) => tapped.poll_next(context),
            ResponseBody::Sourced(sourced) => Pin::new(&mut **sourced).poll_frame(context),
        }
    }

    pub fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Full(whole) => whole.is_end_stream(),
            ResponseBody::Switched(_) => true,
            ResponseBody::Filtered(filtered) => filtered.is_end_stream(),
            ResponseBody::Tapped(tapped) => tapped.has_ended(),
            ResponseBody::Sourced(sourced) => Body::is_end_stream(&**sourced),
            ResponseBody::Stream(download) => {
                download.ahead.is_empty() && download.broken.is_none() && download.incoming.is_end_stream()
            }
        }
    }

    pub fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Full(whole) => whole.size_hint(),
            ResponseBody::Switched(_) => SizeHint::with_exact(0),
            ResponseBody::Filtered(_) => SizeHint::default(),
            ResponseBody::Tapped(tapped) => tapped.length(),
            ResponseBody::Sourced(sourced) => Body::size_hint(&**sourced),
            ResponseBody::Stream(download) => download.size_hint(),
        }
    }
}

/// All of a body that takes back what was read of it, if that was no use.
async fn collect_apart<B: Body<Data = Bytes, Error = StreamError> + Unpin>(
    body: &mut B,
    put_back: fn(&mut B, Bytes),
    limit: u64,
) -> Result<Whole, CollectError> {
    let (mut whole, mut idle) = (BytesMut::new(), Idle::new(UNBOUNDED));
    let collected = Box::pin(collect(body, &mut whole, &mut idle, limit)).await;
    let bytes = whole.freeze();
    let trailers = collected.inspect_err(|_| put_back(body, bytes.clone()))?;
    Ok(Whole { bytes, trailers })
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.get_mut().poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        ResponseBody::is_end_stream(self)
    }

    fn size_hint(&self) -> SizeHint {
        ResponseBody::size_hint(self)
    }
}

impl Download {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.ahead).freeze()))));
        }
        if let Some(reason) = self.broken.take() {
            self.lease = None;
            return Poll::Ready(Some(Err(StreamError::Ahead(reason))));
        }
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) else {
            ready!(self.idle.poll(context));
            self.lease = None;
            let error = self.idle.overdue().map(StreamError::TooLong);
            return Poll::Ready(Some(Err(error.unwrap_or(StreamError::Idle(self.idle.limit)))));
        };
        if let Some(limit) = self.idle.overdue() {
            self.lease = None;
            return Poll::Ready(Some(Err(StreamError::TooLong(limit))));
        }
        self.idle.moved();
        if frame.is_none() || self.incoming.is_end_stream() {
            self.release();
        }
        Poll::Ready(frame.map(|frame| frame.map(settle_trailers).map_err(StreamError::Upstream)))
    }

    fn size_hint(&self) -> SizeHint {
        let ahead = self.ahead.len();
        let rest = self.incoming.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead as u64);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead as u64);
        }
        hint
    }

    fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.release();
        }
    }
}
