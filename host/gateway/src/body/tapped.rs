//! A body that somebody gets a copy of, who is not to wait for the client: it is read ahead by so much, and read on
//! when the client is gone.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use limen_policy::Tap;
use tokio::sync::{Notify, mpsc};

use super::{ResponseBody, StreamError};

/// How far ahead of its client a body is read: a slow one is not to hold more memory than this.
const AHEAD: usize = 256 << 10;
/// How much of one that is not worth to be read for its copy alone is read on all the same.
const ALONE: u64 = 4 << 20;

/// The client's end of it.
pub struct Tapped {
    state: State,
    lead: Rc<Lead>,
    /// What was read and given back.
    ahead: Bytes,
    length: SizeHint,
}

enum State {
    /// What was read ahead waits here.
    Reading(mpsc::UnboundedReceiver<Piece>),
    /// No copy is wanted any more.
    Alone(Box<ResponseBody>),
    /// Also for whoever comes to that after somebody has read it in vain.
    Broken(String),
    Ended,
}

/// How far ahead it is, in bytes.
#[derive(Default)]
struct Lead {
    bytes: Cell<usize>,
    less: Notify,
}

enum Piece {
    Frame(Frame<Bytes>),
    Rest(Box<ResponseBody>),
    Broken(StreamError),
}

impl Tapped {
    /// To be called on the worker that the body belongs to.
    pub fn new(body: ResponseBody, tap: Box<dyn Tap>) -> Self {
        let length = body.size_hint();
        let (client, pieces) = mpsc::unbounded_channel();
        let lead = Rc::<Lead>::default();
        tokio::task::spawn_local(read(body, tap, client, lead.clone()));
        Tapped { state: State::Reading(pieces), lead, ahead: Bytes::new(), length }
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
        loop {
            match &mut self.state {
                State::Alone(body) => return body.poll_frame(context),
                State::Broken(reason) => {
                    return Poll::Ready(Some(Err(StreamError::Ahead(reason.clone()))));
                }
                State::Ended => return Poll::Ready(None),
                State::Reading(pieces) => match ready!(pieces.poll_recv(context)) {
                    Some(Piece::Frame(frame)) => {
                        let taken = frame.data_ref().map_or(0, Bytes::len);
                        self.length = less(&self.length, taken);
                        self.lead.bytes.set(self.lead.bytes.get().saturating_sub(taken));
                        self.lead.less.notify_one();
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    Some(Piece::Rest(body)) => self.state = State::Alone(body),
                    Some(Piece::Broken(error)) => {
                        self.state = State::Broken(error.to_string());
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => self.state = State::Ended,
                },
            }
        }
    }

    /// Whether somebody may still want a copy.
    pub fn is_wanted(&self) -> bool {
        matches!(self.state, State::Reading(_))
    }

    pub fn has_ended(&self) -> bool {
        let is_over = match &self.state {
            State::Alone(body) => body.is_end_stream(),
            State::Ended => true,
            State::Broken(_) => false,
            State::Reading(pieces) => pieces.is_closed() && pieces.is_empty(),
        };
        is_over && self.ahead.is_empty()
    }

    /// How much is left of it.
    pub fn length(&self) -> SizeHint {
        match &self.state {
            State::Alone(body) if self.ahead.is_empty() => body.size_hint(),
            _ if self.ahead.is_empty() => self.length,
            _ => SizeHint::default(),
        }
    }
}

/// Reads the body for both of them.
async fn read(
    mut body: ResponseBody,
    mut tap: Box<dyn Tap>,
    client: mpsc::UnboundedSender<Piece>,
    lead: Rc<Lead>,
) {
    let mut alone = 0;
    loop {
        match poll_fn(|context| body.poll_frame(context)).await {
            None => return tap.end(),
            Some(Err(error)) => {
                let _ = client.send(Piece::Broken(error)); // it may have gone
                return;
            }
            Some(Ok(frame)) => {
                let is_wanted = frame.data_ref().is_none_or(|data| tap.piece(data));
                let length = frame.data_ref().map_or(0, Bytes::len);
                lead.bytes.set(lead.bytes.get() + length);
                if is_wanted && body.is_end_stream() {
                    // Before the client has the last of it, and asks again.
                    tap.end();
                    let _ = client.send(Piece::Frame(frame));
                    return;
                }
                let _ = client.send(Piece::Frame(frame));
                if !is_wanted {
                    match client.is_closed() {
                        true => body.discard(),
                        false => drop(client.send(Piece::Rest(Box::new(body)))),
                    }
                    return;
                }
                if client.is_closed() && !tap.is_worth_alone() {
                    alone += length as u64;
                    if alone.max(body.size_hint().lower()) > ALONE {
                        return;
                    }
                }
                while lead.bytes.get() > AHEAD && !client.is_closed() {
                    tokio::select! {
                        () = lead.less.notified() => {}
                        () = client.closed() => {}
                    }
                }
            }
        }
    }
}

fn less(length: &SizeHint, taken: usize) -> SizeHint {
    let mut left = SizeHint::new();
    left.set_lower(length.lower().saturating_sub(taken as u64));
    if let Some(upper) = length.upper() {
        left.set_upper(upper.saturating_sub(taken as u64).max(left.lower()));
    }
    left
}

impl Body for Tapped {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.get_mut().poll_next(context)
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended()
    }

    fn size_hint(&self) -> SizeHint {
        self.length()
    }
}
