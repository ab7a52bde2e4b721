//! HTTP/2 to an endpoint: many requests at a time on one connection.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use http::header;
use http::uri::{self, Authority, PathAndQuery};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use limen_config::{ResponseHead, Scheme, UpstreamHttp2};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio_util::io::InspectReader;

use crate::body::RequestBody;
use crate::upstream::tally::Open;

/// What one answer may have on its way to us while its client takes nothing...
const STREAM_WINDOW: u32 = 256 << 10;
/// ... and all answers of one connection: so many of them can stand still before others do.
const CONNECTION_WINDOW: u32 = 64 * STREAM_WINDOW;
/// What of a request's body waits to be sent.
const SEND_BUFFER: usize = 64 << 10;
/// Requests that one connection has under way, whatever the endpoint allows.
const MOST_STREAMS: usize = 1024;
/// As long as the endpoint has not said how many it allows (SETTINGS), hyper is told this, and here it
/// means one.
const UNTOLD: usize = MOST_STREAMS + 1;

/// A connection, from the side that sends requests.
pub struct Http2 {
    sender: RefCell<SendRequest<RequestBody>>,
    room: Rc<Room>,
}

/// How many requests a connection takes.
struct Room {
    /// Streams that the endpoint allows.
    most: Cell<usize>,
    told: Cell<Told>,
    /// It takes extended CONNECT (RFC 8441).
    connects: Cell<bool>,
    under_way: Cell<usize>,
    /// Somebody waits to hear how many.
    changed: Notify,
    /// The task that can ask hyper for it.
    task: RefCell<Option<Waker>>,
}

/// Whether the endpoint has said how many streams it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    NotYet,
    /// Its first bytes are here (which are SETTINGS: RFC 9113, section 3.4), and about to be read.
    Arriving,
    Yes,
}

/// One request's place on a connection.
pub struct Place(Rc<Room>);

/// Begins HTTP/2. The connection's tasks end with the sender and the last answer, or when the other side
/// closes.
pub async fn handshake<S>(
    stream: S,
    head: &ResponseHead,
    terms: &UpstreamHttp2,
    open: Open,
) -> hyper::Result<Http2>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let room = Rc::new(Room {
        most: Cell::new(UNTOLD),
        told: Cell::new(Told::NotYet),
        connects: Cell::new(false),
        under_way: Cell::new(0),
        changed: Notify::new(),
        task: RefCell::default(),
    });
    // hyper reads the endpoint's settings in a task that does not say so.
    let arriving = room.clone();
    let stream = InspectReader::new(stream, move |_| arriving.heard());
    let (sender, connection) = Builder::new(Local)
        .timer(TokioTimer::new())
        .initial_max_send_streams(UNTOLD)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(head.size).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(terms.ping)
        .keep_alive_timeout(terms.ping_timeout)
        .handshake(TokioIo::new(stream))
        .await?;
    let here = room.clone();
    tokio::task::spawn_local(async move {
        let mut connection = pin!(connection);
        let _ = std::future::poll_fn(|context| {
            let ended = connection.as_mut().poll(context);
            here.connects.set(connection.is_extended_connect_protocol_enabled());
            here.look(connection.current_max_send_streams(), ended.is_ready(), context);
            ended
        })
        .await;
        drop(open);
    });
    Ok(Http2 { sender: RefCell::new(sender), room })
}

impl Http2 {
    pub fn is_closed(&self) -> bool {
        self.sender.borrow().is_closed()
    }

    /// A place for one more request, if there is one.
    pub fn place(&self) -> Option<Place> {
        let most = match self.room.told.get() {
            Told::Yes => self.room.most.get().min(MOST_STREAMS),
            Told::NotYet | Told::Arriving => 1,
        };
        (self.room.under_way.get() < most).then(|| {
            self.room.under_way.set(self.room.under_way.get() + 1);
            Place(self.room.clone())
        })
    }

    /// Whether it may soon turn out to have more room.
    pub fn is_untold(&self) -> bool {
        self.room.told.get() != Told::Yes
    }

    /// Waits until the endpoint has said how many requests it takes at a time.
    pub async fn told(&self) {
        while self.is_untold() {
            self.room.changed.notified().await;
        }
    }

    /// Whether a request may ask to go on in another protocol; to be asked once it has told.
    pub fn takes_extended_connect(&self) -> bool {
        self.room.connects.get()
    }

    /// Requests under way.
    pub fn under_way(&self) -> usize {
        self.room.under_way.get()
    }

    /// Sends a request and waits for the head of its response.
    pub async fn send(
        &self,
        mut request: Box<Request<RequestBody>>,
        scheme: Scheme,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        if request.uri().authority().is_none() {
            into_absolute_form(&mut request, scheme);
        }
        let sent = self.sender.borrow_mut().try_send_request(*request);
        sent.await
    }
}

/// A request to send once more, should the endpoint refuse this one unread: hyper does not give it back.
/// There is none of one whose body is on its way.
pub fn copy(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let body = match request.body() {
        RequestBody::Empty => RequestBody::Empty,
        RequestBody::Full(whole) => RequestBody::Full(whole.clone()),
        RequestBody::Stream(_)
        | RequestBody::Replayed(_)
        | RequestBody::Copied(_)
        | RequestBody::Filtered(_) => return None,
    };
    let mut copy = Request::new(body);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

impl Room {
    /// The endpoint's first bytes have come: its settings are among them.
    fn heard(&self) {
        if self.told.get() == Told::NotYet {
            self.told.set(Told::Arriving);
            if let Some(task) = self.task.take() {
                task.wake();
            }
        }
    }

    fn look(&self, most: usize, ended: bool, context: &mut Context<'_>) {
        self.most.set(most);
        match self.told.get() {
            Told::Yes => return,
            Told::NotYet if !ended => {
                *self.task.borrow_mut() = Some(context.waker().clone());
                return;
            }
            Told::NotYet | Told::Arriving => {}
        }
        self.told.set(Told::Yes);
        self.task.take();
        self.changed.notify_waiters();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get().saturating_sub(1));
    }
}

/// The target as HTTP/2 asks for it: with scheme and authority, and without a `Host` beside them (RFC
/// 9113, section 8.3.1).
fn into_absolute_form(request: &mut Request<RequestBody>, scheme: Scheme) {
    let host = request.headers_mut().remove(header::HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let Some(authority) = authority else { return };
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(match scheme {
        Scheme::Http => uri::Scheme::HTTP,
        Scheme::Https => uri::Scheme::HTTPS,
    });
    parts.authority = Some(authority);
    parts.path_and_query.get_or_insert(PathAndQuery::from_static("/"));
    // All three are there, and nothing else can be wrong.
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
}

/// Runs what HTTP/2 spawns on the worker that the connection belongs to.
#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
