//! Calls of policies, through the upstreams of the worker that they run on.
//!
//! A policy in an isolate may be moved between threads as far as the compiler knows; connections to
//! upstreams belong to their worker. So a call goes through a channel to a task of that worker. Whoever
//! waits for the answer and goes away ends the call.

use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, StatusCode};
use limen_config::UpstreamHost;
use limen_policy::{Call, Fetch, FetchError, Fetched, FetchedBody, Later};
use tokio::sync::{mpsc, oneshot};

use crate::body::{RequestBody, ResponseBody, StreamError};
use crate::head::hop_by_hop;
use crate::observe::{Attempts, Notes, Watch};
use crate::refusal::Fault;
use crate::upstream::{Answer, Outgoing, Upstream};
use crate::worker::World;

/// Where policies hand in their calls. It is open as long as anybody of its world may make one.
#[derive(Debug)]
struct Desk(mpsc::UnboundedSender<Asked>);

struct Asked {
    call: Call,
    answer: oneshot::Sender<Result<Fetched, FetchError>>,
}

/// Opens the desk of a world, on its worker.
pub fn open(world: Weak<World>) -> Arc<dyn Fetch> {
    // Its length is bounded by the calls that plugins may have under way.
    let (desk, mut asked) = mpsc::unbounded_channel();
    tokio::task::spawn_local(async move {
        while let Some(Asked { call, answer }) = asked.recv().await {
            let Some(world) = world.upgrade() else { return };
            tokio::task::spawn_local(serve(world, call, answer));
        }
    });
    Arc::new(Desk(desk))
}

impl Fetch for Desk {
    fn fetch(&self, call: Call) -> Later<'static, Result<Fetched, FetchError>> {
        let (answer, answered) = oneshot::channel();
        // Without a worker there is no answer either.
        let _ = self.0.send(Asked { call, answer });
        Box::pin(async move { answered.await.unwrap_or(Err(FetchError::Unreachable)) })
    }
}

async fn serve(world: Rc<World>, call: Call, mut answer: oneshot::Sender<Result<Fetched, FetchError>>) {
    let upstream = call.upstream.clone();
    let sent = tokio::select! {
        sent = send(&world, call) => sent,
        () = answer.closed() => return,
    };
    match sent {
        Ok(Answer { head, body }) => {
            let (pieces, rest) = mpsc::channel(1);
            if answer.send(Ok(Fetched { head, body: Box::new(Pieces(rest)) })).is_ok() {
                pass_on(body, &pieces, &upstream).await;
            } else {
                body.discard();
            }
        }
        Err((error, reason)) => {
            tracing::warn!(upstream, "a call of a policy failed: {reason}");
            // Who asked may have gone.
            let _ = answer.send(Err(error));
        }
    }
}

async fn send(world: &World, call: Call) -> Result<Answer, (FetchError, String)> {
    let number = world.upstreams().iter().position(|known| known.terms().name == call.upstream);
    let upstream = number.and_then(|number| Some((number, world.upstream(number)?)));
    let (number, upstream) =
        upstream.ok_or((FetchError::Unreachable, "there is no such upstream".to_owned()))?;
    let observers = world.observers.as_ref();
    let watch = observers.map(|observers| Watch::of_call(observers, &call));
    let notes = Notes { watch: watch.as_ref(), track: None };
    let Call { request, client, timeout, .. } = call;
    let outgoing = Outgoing {
        request: Box::new(prepare(world, upstream, request)),
        client: &client,
        attempts: Attempts::at(observers, notes, number),
        // Policies of the route have no say in what one of them asks: who signs its calls does so itself.
        tries: None,
        others: world.upstreams(),
    };
    let begun = Instant::now();
    // In a box: it is as large as that of every request.
    let sent = Box::pin(upstream.send(outgoing));
    let answer = match timeout {
        None => sent.await,
        Some(limit) => tokio::time::timeout(limit, sent).await.unwrap_or_else(|_| {
            Err(Fault::upstream_slow(format!("no response within the {limit:?} of the call")))
        }),
    };
    let mut answer = answer.map_err(explain)?;
    if answer.head.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err((FetchError::Broken, "it switched protocols without being asked".to_owned()));
    }
    hop_by_hop::strip(answer.head.headers_mut());
    if let Some(limit) = timeout {
        answer.body.end_by(begun + limit, limit);
    }
    Ok(answer)
}

/// The request as it goes to the upstream.
fn prepare(world: &World, upstream: &Upstream, request: Request<Bytes>) -> Request<RequestBody> {
    let is_empty = request.body().is_empty();
    let mut request =
        request.map(|body| if is_empty { RequestBody::Empty } else { RequestBody::Full(body.into()) });
    let terms = upstream.terms();
    let headers = request.headers_mut();
    // There is no client whose host could be kept.
    let host = if terms.host == UpstreamHost::Keep { upstream.an_address() } else { None };
    let host = host.and_then(|address| HeaderValue::try_from(address).ok());
    headers.insert(header::HOST, host.unwrap_or(HeaderValue::from_static("")));
    headers.entry(header::ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
    // A circle must be seen: also what begins here, and where upstreams are told nothing, has been here.
    if !headers.contains_key(header::VIA) || !world.snapshot.forwarding.says_via() {
        headers.append(header::VIA, HeaderValue::from_static("1.1 limen"));
    }
    request
}

/// What a policy is told, and what the log is.
fn explain(fault: Fault) -> (FetchError, String) {
    let error = match fault.status {
        StatusCode::GATEWAY_TIMEOUT => FetchError::TimedOut,
        StatusCode::SERVICE_UNAVAILABLE => FetchError::Overloaded,
        _ if fault.code == "upstream_unreachable" => FetchError::Unreachable,
        _ => FetchError::Broken,
    };
    (error, fault.reason)
}

/// An answer's body, piece by piece as they are taken.
struct Pieces(mpsc::Receiver<Result<Bytes, FetchError>>);

impl FetchedBody for Pieces {
    fn piece(&mut self) -> Later<'_, Option<Result<Bytes, FetchError>>> {
        Box::pin(self.0.recv())
    }
}

/// Reads no more than is taken. When nobody wants the rest, what is short is read all the same, so that
/// its connection can be used again.
async fn pass_on(mut body: ResponseBody, to: &mpsc::Sender<Result<Bytes, FetchError>>, upstream: &str) {
    loop {
        let Ok(place) = to.reserve().await else { return body.discard() };
        let frame = tokio::select! {
            frame = poll_fn(|context| body.poll_frame(context)) => frame,
            () = to.closed() => return body.discard(),
        };
        match frame {
            None => return,
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    place.send(Ok(data));
                }
            }
            Some(Err(error)) => {
                tracing::warn!(upstream, "a call of a policy failed: {error}");
                return place.send(Err(match error {
                    StreamError::Idle(_) | StreamError::TooLong(_) => FetchError::TimedOut,
                    StreamError::Upstream(_)
                    | StreamError::Ahead(_)
                    | StreamError::Policy
                    | StreamError::Source(_) => FetchError::Broken,
                }));
            }
        }
    }
}
