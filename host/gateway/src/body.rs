//! Bodies on their way: streamed frame by frame, collected only when a policy asks.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::upstream::Lease;

/// How long a client may take for the next piece of a body that a policy waits for.
const CLIENT_IDLE: Duration = Duration::from_secs(60);
/// How much of a body that nobody wants is taken from the client all the same, and for how long:
/// a connection that is closed while the client still sends takes the answer with it.
const DISCARDED: u64 = 64 << 20;
const DISCARDING: Duration = Duration::from_secs(5);

/// What goes to the upstream.
pub enum RequestBody {
    Empty,
    Full(Bytes),
    Stream(Arriving),
}

/// A request's body on its way. Where it is not read to its end, because somebody answered without,
/// the rest is discarded.
pub struct Arriving {
    incoming: Option<Incoming>,
    upload: Rc<Upload>,
    /// The client sends it only when it is asked to (`Expect: 100-continue`): it isn't.
    on_demand: bool,
}

/// How far the body of a request has come: the upstream's time to answer counts from its end.
pub struct Upload {
    done: Cell<bool>,
    moved: Cell<Instant>,
    /// Bytes that have come.
    received: Cell<u64>,
    /// Whether it is the client that is waited for, and not the upstream that takes no more.
    waiting: Cell<bool>,
}

/// What comes back, on its way to the client.
pub enum ResponseBody {
    Full(Bytes),
    Stream(Download),
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

/// Why a body could not be collected.
#[derive(Debug)]
pub enum CollectError {
    TooLong,
    TooSlow,
    Broken(String),
}

/// Why a body that was being passed on broke off.
#[derive(Debug)]
pub enum StreamError {
    Upstream(hyper::Error),
    /// As `Upstream`, while it was read for a policy.
    Ahead(String),
    Idle(Duration),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamError::Upstream(error) => write!(f, "the upstream's body broke off: {error}"),
            StreamError::Ahead(reason) => write!(f, "the upstream's body broke off: {reason}"),
            StreamError::Idle(limit) => write!(f, "the upstream's body did not move for {limit:?}"),
        }
    }
}

impl std::error::Error for StreamError {}

impl RequestBody {
    pub fn new(incoming: Incoming, on_demand: bool) -> Self {
        if incoming.is_end_stream() {
            return RequestBody::Empty;
        }
        let upload = Rc::new(Upload {
            done: Cell::new(false),
            moved: Cell::new(Instant::now()),
            received: Cell::new(0),
            waiting: Cell::new(false),
        });
        RequestBody::Stream(Arriving { incoming: Some(incoming), upload, on_demand })
    }

    /// Where to look how far it has come; none if there is nothing to wait for.
    pub fn upload(&self) -> Option<Rc<Upload>> {
        match self {
            RequestBody::Stream(arriving) => Some(arriving.upload.clone()),
            _ => None,
        }
    }

    /// All of it, if it is not longer than this. It is empty until it is [replaced](Self::replace).
    pub async fn collect(&mut self, limit: u64) -> Result<Bytes, CollectError> {
        match std::mem::replace(self, RequestBody::Empty) {
            RequestBody::Empty => Ok(Bytes::new()),
            RequestBody::Full(bytes) if bytes.len() as u64 > limit => Err(CollectError::TooLong),
            RequestBody::Full(bytes) => Ok(bytes),
            RequestBody::Stream(arriving) if arriving.size_hint().lower() > limit => {
                Err(CollectError::TooLong)
            }
            RequestBody::Stream(mut arriving) => {
                let mut whole = BytesMut::new();
                let mut idle = Idle::new(CLIENT_IDLE);
                collect(&mut arriving, &mut whole, &mut idle, limit).await.map(|()| whole.freeze())
            }
        }
    }

    pub fn replace(&mut self, bytes: Bytes) {
        *self = RequestBody::Full(bytes);
    }
}

impl Upload {
    pub fn is_done(&self) -> bool {
        self.done.get()
    }

    /// Whether the client is what everybody waits for.
    pub fn is_waiting(&self) -> bool {
        self.waiting.get()
    }

    /// How many bytes have come.
    pub fn received(&self) -> u64 {
        self.received.get()
    }

    /// When a piece was last passed on.
    pub fn moved(&self) -> Instant {
        self.moved.get()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            RequestBody::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            RequestBody::Stream(arriving) => Pin::new(arriving).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Full(bytes) => bytes.is_empty(),
            RequestBody::Stream(arriving) => arriving.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            RequestBody::Stream(arriving) => arriving.size_hint(),
        }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Arriving { incoming: whole, upload, on_demand: _ } = &mut *self;
        let Some(incoming) = whole else { return Poll::Ready(None) };
        let frame = Pin::new(&mut *incoming).poll_frame(context);
        upload.waiting.set(frame.is_pending());
        let frame = ready!(frame);
        upload.moved.set(Instant::now());
        if frame.is_none() || incoming.is_end_stream() {
            upload.done.set(true);
        }
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                upload.received.set(upload.received.get() + length);
            }
            Some(Err(_)) => *whole = None,
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.upload.is_done() || self.on_demand || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        if let Some(incoming) = self.incoming.take() {
            tokio::task::spawn_local(tokio::time::timeout(DISCARDING, discard(incoming)));
        }
    }
}

/// Reads on without keeping anything.
async fn discard(mut incoming: Incoming) {
    let mut length = 0;
    while length < DISCARDED {
        match std::future::poll_fn(|context| Pin::new(&mut incoming).poll_frame(context)).await {
            Some(Ok(frame)) => length += frame.data_ref().map_or(0, |data| data.len() as u64),
            _ => return,
        }
    }
}

impl ResponseBody {
    /// The body of an answer, which gives back what it holds at the upstream when it has ended.
    pub fn new(incoming: Incoming, lease: Lease, idle: Duration) -> Self {
        if incoming.is_end_stream() {
            lease.release();
            return ResponseBody::Full(Bytes::new());
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

    /// All of it, if it is not longer than this. A body that is too long is as it was.
    pub async fn collect(&mut self, limit: u64) -> Result<Bytes, CollectError> {
        match self {
            ResponseBody::Full(bytes) if bytes.len() as u64 > limit => Err(CollectError::TooLong),
            ResponseBody::Full(bytes) => Ok(std::mem::take(bytes)),
            ResponseBody::Stream(download) => {
                if download.size_hint().lower() > limit {
                    return Err(CollectError::TooLong);
                }
                let Download { incoming, ahead, idle, broken, .. } = download;
                let collected = collect(incoming, ahead, idle, limit).await;
                if let Err(CollectError::Broken(reason)) = &collected {
                    *broken = Some(reason.clone());
                }
                collected?;
                download.release();
                Ok(std::mem::take(&mut download.ahead).freeze())
            }
        }
    }

    pub fn replace(&mut self, bytes: Bytes) {
        *self = ResponseBody::Full(bytes);
    }

    pub fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match self {
            ResponseBody::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            ResponseBody::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            ResponseBody::Stream(download) => download.poll_frame(context),
        }
    }

    pub fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Full(bytes) => bytes.is_empty(),
            ResponseBody::Stream(download) => {
                download.ahead.is_empty() && download.broken.is_none() && download.incoming.is_end_stream()
            }
        }
    }

    pub fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            ResponseBody::Stream(download) => download.size_hint(),
        }
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
            return Poll::Ready(Some(Err(StreamError::Idle(self.idle.limit))));
        };
        self.idle.moved();
        if frame.is_none() || self.incoming.is_end_stream() {
            self.release();
        }
        Poll::Ready(frame.map(|frame| frame.map_err(StreamError::Upstream)))
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

/// A time limit between two pieces. It costs a timer only when one of them has to be waited for.
struct Idle {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Idle {
    fn new(limit: Duration) -> Self {
        Idle { limit, timer: None }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.limit)));
        timer.as_mut().poll(context)
    }

    fn moved(&mut self) {
        self.timer = None;
    }
}

/// Reads a body to its end, into one buffer: a body in pieces of a byte is to cost no more than its
/// length. What was read is in it also when it was too much.
async fn collect<B: Body<Data = Bytes, Error = hyper::Error> + Unpin>(
    incoming: &mut B,
    whole: &mut BytesMut,
    idle: &mut Idle,
    limit: u64,
) -> Result<(), CollectError> {
    loop {
        let frame = std::future::poll_fn(|context| match Pin::new(&mut *incoming).poll_frame(context) {
            Poll::Ready(frame) => Poll::Ready(Ok(frame)),
            Poll::Pending => idle.poll(context).map(|()| Err(CollectError::TooSlow)),
        })
        .await?;
        idle.moved();
        let Some(frame) = frame else { return Ok(()) };
        let frame = frame.map_err(|error| CollectError::Broken(error.to_string()))?;
        if let Ok(bytes) = frame.into_data() {
            whole.extend_from_slice(&bytes);
            if whole.len() as u64 > limit {
                return Err(CollectError::TooLong);
            }
        }
    }
}
