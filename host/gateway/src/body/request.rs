//! What goes to the upstream.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::copied::{self, Copied, Tap};
use super::passing::{Passing, collect_within};
use super::{CollectError, Filtered, Idle, Refused, Whole, settle_trailers};
use crate::refusal::Fault;
use crate::upstream::Reader;

/// How much of a body that nobody wants is taken from the client all the same, and for how long:
/// a connection that is closed while the client still sends takes the answer with it.
const DISCARDED: u64 = 64 << 20;
const DISCARDING: Duration = Duration::from_secs(5);

/// What goes to the upstream.
pub enum RequestBody {
    Empty,
    Full(Whole),
    Stream(Arriving),
    /// Kept as it goes by, so that it can go again.
    Replayed(Reader),
    /// What goes to another one beside it.
    Copied(Copied),
    /// What policies see of it on its way.
    Filtered(Box<Passing>),
}

/// A request's body on its way. Where it is not read to its end, because somebody answered without,
/// the rest is discarded.
pub struct Arriving {
    incoming: Option<Incoming>,
    upload: Rc<Upload>,
    /// The client sends it only when it is asked to (`Expect: 100-continue`): it isn't.
    on_demand: bool,
    bounds: Bounds,
    idle: Idle,
    /// Takes each piece along to a copy.
    tap: Option<Tap>,
}

/// How much of a request body a route takes, and how slowly it may come.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub length: u64,
    /// Between two pieces.
    pub idle: Duration,
    /// For all of it, where a policy waits for it.
    pub whole: Duration,
}

/// How far the body of a request has come: the upstream's time to answer counts from its end.
pub struct Upload {
    done: Cell<bool>,
    moved: Cell<Instant>,
    /// Bytes that have come.
    received: Cell<u64>,
    /// Whether it is the client that is waited for, and not the upstream that takes no more.
    waiting: Cell<bool>,
    failed: Cell<Option<UploadFailure>>,
}

/// Why the body of a request did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadFailure {
    TooLong(u64),
    TooSlow(Duration),
    BrokenOff,
}

/// What an upstream's connection is told of it.
#[derive(Debug)]
pub enum UploadError {
    Client(hyper::Error),
    Refused(UploadFailure),
    /// A policy broke it off.
    Policy,
}

impl From<Refused> for UploadError {
    fn from(_: Refused) -> Self {
        UploadError::Policy
    }
}

impl RequestBody {
    pub fn new(incoming: Incoming, on_demand: bool) -> Self {
        if incoming.is_end_stream() {
            return RequestBody::Empty;
        }
        let upload = Upload::new();
        let bounds = Bounds::NONE;
        let idle = Idle::new(bounds.idle);
        RequestBody::Stream(Arriving { incoming: Some(incoming), upload, on_demand, bounds, idle, tap: None })
    }

    /// Sets the bounds that are held from here on; a body that says it is longer is refused at once.
    pub fn bind(&mut self, bounds: Bounds) -> Result<(), Fault> {
        let RequestBody::Stream(arriving) = self else { return Ok(()) };
        arriving.bounds = bounds;
        arriving.idle = Idle::new(bounds.idle);
        if arriving.size_hint().lower() > bounds.length {
            return Err(UploadFailure::TooLong(bounds.length).fault());
        }
        Ok(())
    }

    /// Where to look how far it has come; none if there is nothing to wait for.
    pub fn upload(&self) -> Option<Rc<Upload>> {
        match self {
            RequestBody::Stream(arriving) => Some(arriving.upload.clone()),
            RequestBody::Replayed(reader) => Some(reader.upload()),
            RequestBody::Copied(copied) => Some(copied.upload()),
            RequestBody::Filtered(passing) => passing.upload(),
            RequestBody::Empty | RequestBody::Full(_) => None,
        }
    }

    /// Puts something in its way that looks at it, and may change it.
    pub fn filter(&mut self, through: impl FnOnce(RequestBody) -> Filtered<RequestBody>) {
        let upload = self.upload();
        let whole = match self {
            RequestBody::Stream(arriving) => arriving.bounds.whole,
            RequestBody::Filtered(passing) => passing.whole(),
            _ => Bounds::NONE.whole,
        };
        let body = through(std::mem::replace(self, RequestBody::Empty));
        *self = RequestBody::Filtered(Box::new(Passing::new(body, upload, whole)));
    }

    /// Whether trailers may follow it.
    pub fn may_have_trailers(&self) -> bool {
        match self {
            RequestBody::Stream(_) | RequestBody::Filtered(_) => true,
            RequestBody::Full(whole) => whole.trailers.is_some(),
            RequestBody::Empty | RequestBody::Replayed(_) | RequestBody::Copied(_) => false,
        }
    }

    /// Waits for the first that goes on of a body that is known to be empty.
    pub async fn begin(&mut self) {
        if let RequestBody::Filtered(passing) = self
            && passing.begin().await
        {
            *self = RequestBody::Empty;
        }
    }

    /// All of it, if it is not longer than this. It is empty until it is [replaced](Self::replace).
    pub async fn collect(&mut self, limit: u64) -> Result<Whole, CollectError> {
        match std::mem::replace(self, RequestBody::Empty) {
            RequestBody::Empty => Ok(Whole::default()),
            RequestBody::Full(whole) if whole.bytes.len() as u64 > limit => Err(CollectError::TooLong),
            RequestBody::Full(whole) => Ok(whole),
            RequestBody::Stream(arriving) if arriving.size_hint().lower() > limit => {
                Err(CollectError::TooLong)
            }
            // Nobody asks for it once it is on its way.
            RequestBody::Replayed(_) | RequestBody::Copied(_) => {
                Err(CollectError::Broken("it is on its way".to_owned()))
            }
            RequestBody::Stream(mut arriving) => {
                let upload = arriving.upload.clone();
                let whole = arriving.bounds.whole;
                collect_within(&mut arriving, Some(&upload), whole, limit).await
            }
            RequestBody::Filtered(mut passing) => Box::pin(passing.collect(limit)).await,
        }
    }

    /// The same for another upstream, fed as this one is read. What is read and not taken there yet is
    /// kept up to a bound; beyond it the copy breaks off, and this one does not wait.
    pub fn copy(&mut self, bound: u64) -> RequestBody {
        match self {
            RequestBody::Full(whole) => RequestBody::Full(whole.clone()),
            RequestBody::Stream(arriving) => {
                let (tap, copied) = copied::pair(bound, arriving.upload.clone(), arriving.size_hint());
                arriving.tap = Some(tap);
                RequestBody::Copied(copied)
            }
            RequestBody::Filtered(passing) => RequestBody::Copied(passing.copy(bound)),
            RequestBody::Empty | RequestBody::Replayed(_) | RequestBody::Copied(_) => RequestBody::Empty,
        }
    }

    pub fn replace(&mut self, whole: impl Into<Whole>) {
        *self = RequestBody::Full(whole.into());
    }
}

impl Bounds {
    /// Until a route has been found.
    pub const NONE: Bounds = Bounds {
        length: u64::MAX,
        idle: Duration::from_secs(24 * 3600),
        whole: Duration::from_secs(24 * 3600),
    };
}

impl Upload {
    pub fn new() -> Rc<Self> {
        Rc::new(Upload {
            done: Cell::new(false),
            moved: Cell::new(Instant::now()),
            received: Cell::new(0),
            waiting: Cell::new(false),
            failed: Cell::new(None),
        })
    }

    /// Notes what there was when a piece was asked for.
    pub fn passed<T>(&self, piece: &Poll<Option<T>>, is_end: bool) {
        self.waiting.set(piece.is_pending());
        if piece.is_ready() {
            self.moved.set(Instant::now());
            self.done.set(is_end);
        }
    }

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

    /// Why it will not come to its end, if it won't: what became of the upstream's answer is the
    /// client's own doing then.
    pub fn failed(&self) -> Option<UploadFailure> {
        self.failed.get()
    }
}

impl UploadFailure {
    pub fn fault(self) -> Fault {
        match self {
            UploadFailure::TooLong(limit) => Fault::body_too_large(limit, "the route takes"),
            UploadFailure::TooSlow(_) => Fault::body_too_slow(),
            UploadFailure::BrokenOff => Fault::body_cut_off("the request body broke off"),
        }
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UploadError::Client(error) => write!(f, "the request body broke off: {error}"),
            UploadError::Policy => f.write_str("a policy broke the request body off"),
            UploadError::Refused(UploadFailure::TooLong(limit)) => {
                write!(f, "the request body is longer than {limit} bytes")
            }
            UploadError::Refused(UploadFailure::TooSlow(limit)) => {
                write!(f, "the request body did not move for {limit:?}")
            }
            UploadError::Refused(UploadFailure::BrokenOff) => f.write_str("the request body broke off"),
        }
    }
}

impl std::error::Error for UploadError {}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        match self.get_mut() {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Full(whole) => whole.poll_frame(),
            RequestBody::Stream(arriving) => Pin::new(arriving).poll_frame(context),
            RequestBody::Replayed(reader) => Pin::new(reader).poll_frame(context),
            RequestBody::Copied(copied) => Pin::new(copied).poll_frame(context),
            RequestBody::Filtered(passing) => passing.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Full(whole) => whole.is_end_stream(),
            RequestBody::Stream(arriving) => arriving.is_end_stream(),
            RequestBody::Replayed(reader) => reader.is_end_stream(),
            RequestBody::Copied(copied) => copied.is_end_stream(),
            RequestBody::Filtered(passing) => passing.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Full(whole) => whole.size_hint(),
            RequestBody::Stream(arriving) => arriving.size_hint(),
            RequestBody::Replayed(reader) => reader.size_hint(),
            RequestBody::Copied(copied) => copied.size_hint(),
            RequestBody::Filtered(_) => SizeHint::default(),
        }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        if let Some(failure) = self.upload.failed.get() {
            return Poll::Ready(Some(Err(UploadError::Refused(failure))));
        }
        let Arriving { incoming: whole, upload, bounds, idle, tap, .. } = &mut *self;
        let Some(incoming) = whole else { return Poll::Ready(None) };
        let frame = Pin::new(&mut *incoming).poll_frame(context);
        upload.waiting.set(frame.is_pending());
        let Poll::Ready(frame) = frame else {
            ready!(idle.poll(context));
            return Poll::Ready(Some(Err(self.refuse(UploadFailure::TooSlow(self.bounds.idle)))));
        };
        idle.moved();
        upload.moved.set(Instant::now());
        let is_end = frame.is_none() || incoming.is_end_stream();
        if is_end {
            upload.done.set(true);
        }
        if let Some(tap) = tap {
            tap.went_by(&frame, is_end);
        }
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                upload.failed.set(Some(UploadFailure::BrokenOff));
                *whole = None;
                return Poll::Ready(Some(Err(UploadError::Client(error))));
            }
            None => return Poll::Ready(None),
        };
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        upload.received.set(upload.received.get() + length);
        if upload.received() > bounds.length {
            // The upstream has not seen its end, and won't.
            let longest = bounds.length;
            return Poll::Ready(Some(Err(self.refuse(UploadFailure::TooLong(longest)))));
        }
        Poll::Ready(Some(Ok(settle_trailers(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.upload.failed.get().is_none() && self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Arriving {
    fn refuse(&self, failure: UploadFailure) -> UploadError {
        self.upload.failed.set(Some(failure));
        UploadError::Refused(failure)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let all_here = self.upload.is_done() && self.upload.failed.get().is_none();
        if all_here || self.on_demand || tokio::runtime::Handle::try_current().is_err() {
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
