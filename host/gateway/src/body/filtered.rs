//! A body that somebody sees piece by piece on its way, and may change.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

/// A body behind whoever looks at it. Nothing is read ahead: what looks at it gets on only when the frame
/// that it has given was taken and another one is asked for.
pub struct Filtered<B: Body> {
    state: State<B>,
    outlet: Outlet,
    /// What was read and given back.
    ahead: Bytes,
}

enum State<B: Body> {
    Asking(Pump<B>),
    /// Nobody looks any more.
    Alone(B),
    Broken(Option<B::Error>),
    Answered,
    Ended,
}

/// What looks at the pieces of a body, and gives others to its outlet.
type Pump<B> = Pin<Box<dyn Future<Output = Rest<B>>>>;

/// What is left of a body when it is done.
pub enum Rest<B: Body> {
    /// This, as it is.
    Pass(B),
    End,
    Broken(B::Error),
    /// Nothing: the exchange has got an answer instead.
    Answered,
}

/// It was broken off by whoever looked at it.
#[derive(Debug)]
pub struct Refused;

/// Where the next frame is put.
#[derive(Clone, Default)]
pub struct Outlet(Rc<Cell<Option<Frame<Bytes>>>>);

impl Outlet {
    /// Puts a frame there and waits until it was taken and the next one is asked for.
    pub async fn give(&self, frame: Frame<Bytes>) {
        self.0.set(Some(frame));
        // Whoever takes it polls again.
        poll_fn(|_| if self.is_full() { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    fn is_full(&self) -> bool {
        let frame = self.0.take();
        let is_full = frame.is_some();
        self.0.set(frame);
        is_full
    }
}

impl<B: Body<Data = Bytes> + Unpin> Filtered<B> {
    pub fn new(pump: impl FnOnce(Outlet) -> Pump<B>) -> Self {
        let outlet = Outlet::default();
        Filtered { state: State::Asking(pump(outlet.clone())), outlet, ahead: Bytes::new() }
    }

    /// Waits for the first that goes on, or the end. False if there is an answer instead.
    pub async fn begin(&mut self) -> bool {
        poll_fn(|context| self.poll_outlet(context)).await;
        !matches!(self.state, State::Answered)
    }

    /// It begins with this, which was read and can't be used.
    pub fn put_back(&mut self, ahead: Bytes) {
        self.ahead = ahead;
    }

    /// Whether nothing more will come.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended) && self.ahead.is_empty()
    }

    /// Ready when there is a frame in the outlet, or nobody looks any more.
    fn poll_outlet(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let State::Asking(pump) = &mut self.state {
            if self.outlet.is_full() {
                return Poll::Ready(());
            }
            match pump.as_mut().poll(context) {
                Poll::Ready(Rest::Pass(body)) => self.state = State::Alone(body),
                Poll::Ready(Rest::End) => self.state = State::Ended,
                Poll::Ready(Rest::Broken(error)) => self.state = State::Broken(Some(error)),
                Poll::Ready(Rest::Answered) => self.state = State::Answered,
                Poll::Pending if self.outlet.is_full() => {}
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

impl<B: Body<Data = Bytes, Error: From<Refused>> + Unpin> Body for Filtered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let filtered = self.get_mut();
        if !filtered.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut filtered.ahead)))));
        }
        if filtered.poll_outlet(context).is_pending() {
            return Poll::Pending;
        }
        if let Some(frame) = filtered.outlet.0.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match &mut filtered.state {
            State::Alone(body) => Pin::new(body).poll_frame(context),
            State::Broken(error) => {
                Poll::Ready(Some(Err(error.take().unwrap_or_else(|| B::Error::from(Refused)))))
            }
            State::Answered => Poll::Ready(Some(Err(Refused.into()))),
            State::Ended | State::Asking(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Alone(body) => self.ahead.is_empty() && body.is_end_stream(),
            State::Ended => self.ahead.is_empty(),
            State::Asking(_) | State::Broken(_) | State::Answered => false,
        }
    }
}

// It is moved only between polls, as is all that it holds.
impl<B: Body> Unpin for Filtered<B> {}
