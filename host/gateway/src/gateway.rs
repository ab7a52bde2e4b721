//! The life of a request.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use limen_policy::{Client, Exchange};

use crate::body::{Bounds, RequestBody, ResponseBody, StreamError, Whole};
use crate::forward::{self, Time, Way};
use crate::grpc;
use crate::head::{self, Kind, Traits, request_id};
use crate::listener::{CertificateHeader, Connection};
use crate::observe::{Arrived, End, Last, Notes, Told, Track, Watch};
use crate::onward;
use crate::pipeline::{Case, Decision};
use crate::refusal::{self, Fault};
use crate::route::{Action, Ask, Found};
use crate::snapshot::{Route, Snapshot};
use crate::upgrade::{self, Tunnel};
use crate::worker::World;

/// The client's next request needs another connection (RFC 9112, 9.6).
const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Answers a request. A failure is already a response.
pub fn handle(
    connection: Rc<Connection>,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> {
    let is_head = request.method() == Method::HEAD;
    // Here and not in the future: that is to be small, for there is one for each request under way.
    let Arrival { mut live, mut body, kind } = arrive(connection, request);
    async move {
        let world = live.world.clone();
        let route = live.route.and_then(|number| world.snapshot.routes.get(number));
        let mut answer = match route {
            Some(route) => through(route, &world, &mut live, &mut body, kind).await,
            None => local(&mut live.case.exchange),
        };
        if kind == Kind::Grpc && live.case.exchange.response_is_local {
            answer = live.grpc(answer);
        }
        Ok(live.answer(answer, is_head))
    }
}

/// A request that is known; answered already if it has no route.
struct Arrival {
    live: Box<Live>,
    body: RequestBody,
    kind: Kind,
}

fn arrive(connection: Rc<Connection>, request: Request<Incoming>) -> Arrival {
    let (world, listener) = connection.world();
    let (parts, incoming) = request.into_parts();
    let mut head = Request::from_parts(parts, ());
    let traits = Traits::of(&head);
    let body = RequestBody::new(incoming, traits.on_demand);

    let mut client = connection.client.clone();
    let watch = world.observers.as_ref().map(|observers| {
        let arrived = Arrived { listener, client: &client, head: &head, upload: body.upload() };
        Watch::begin(observers, arrived)
    });
    if let (Some(watch), Some(observers), true) = (&watch, &world.observers, world.calls_out()) {
        watch.introduce(observers, head.headers_mut());
    }
    let settled = settle(&world.snapshot, &connection, listener, &mut head, &traits, &mut client);
    let found = settled.and_then(|()| find(&world, &client, listener, &head));
    let route = found.as_ref().ok().copied().flatten();
    let mut live = Live::begin(connection, world, client, head, route, watch);
    match found {
        Ok(Some(_)) => {}
        Ok(None) => options(&mut live.case.exchange),
        Err(fault) => refusal::respond(fault, &mut live.case.exchange),
    }
    Arrival { live, body, kind: traits.kind }
}

/// Brings the head into its one form, and finds out who asks.
fn settle(
    snapshot: &Snapshot,
    connection: &Connection,
    listener: usize,
    head: &mut Request<()>,
    traits: &Traits,
    client: &mut Client,
) -> Result<(), Fault> {
    let terms = &snapshot.listeners.get(listener).ok_or_else(Fault::no_route)?.terms;
    terms.check(head)?;
    head::settle(head, traits, &snapshot.paths)?;
    if traits.certificate && snapshot.forwarding.trusts(client.peer.ip()) {
        client.told_certificate = CertificateHeader::last(head.headers());
    }
    // What goes in here the client's `Connection` can't take out again.
    connection.certificate.settle(head.headers_mut(), traits.certificate);
    snapshot.forwarding.settle(head, traits, client, &connection.ends)?;
    match terms.redirect(head) {
        Some(elsewhere) => Err(elsewhere),
        None => Ok(()),
    }
}

/// Through the policies of the route to its upstream, and back.
async fn through(
    route: &Route,
    world: &Rc<World>,
    live: &mut Live,
    body: &mut RequestBody,
    kind: Kind,
) -> ResponseBody {
    let Live { case, watch, tunnel, route: number, .. } = live;
    let way = match way(route, &mut case.exchange, kind) {
        Ok(way) => way,
        Err(fault) => {
            refusal::respond(fault, &mut case.exchange);
            return local(&mut case.exchange);
        }
    };
    case.exchange.has_request_body = !body.is_end_stream();
    let bounds = Bounds {
        length: route.limits.body.unwrap_or(u64::MAX),
        idle: route.timeout.body_idle,
        whole: route.timeout.body,
    };
    if let Err(fault) = body.bind(bounds) {
        refusal::respond(fault, &mut case.exchange);
        return local(&mut case.exchange);
    }
    let mut answer = match route.pipeline.on_request(case, body).await {
        Decision::Answered => {
            if let Some(copy) = case.take_onward() {
                onward::send(world.clone(), *number, copy, watch.as_ref());
            }
            local(&mut case.exchange)
        }
        Decision::Forward => {
            let track = case.exchange.timing.is_some().then(Box::<Track>::default);
            let notes = Notes { watch: watch.as_ref(), track: track.as_deref() };
            let acted = act(route, world, case, tunnel, notes, body, way).await;
            if case.is_away() {
                // It was given up while hooks could be called.
                Box::pin(case.take_up()).await;
            }
            if let Some((timing, track)) = case.exchange.timing.as_mut().zip(track) {
                timing.went(track.end());
            }
            acted.unwrap_or_else(|fault| {
                if !case.exchange.response_is_local {
                    refusal::respond(fault, &mut case.exchange);
                }
                local(&mut case.exchange)
            })
        }
    };
    route.pipeline.on_response(case, &mut answer).await;
    answer
}

/// What the route is there for.
pub async fn act(
    route: &Route,
    world: &Rc<World>,
    case: &mut Case,
    tunnel: &mut Option<Box<Tunnel>>,
    notes: Notes<'_>,
    body: &mut RequestBody,
    way: Way,
) -> Result<ResponseBody, Fault> {
    let (head, body, reason) = match &route.action {
        Action::Forward(to) => {
            if let Some(timing) = &mut case.exchange.timing {
                timing.forward();
            }
            let back = forward::forward(route, to, world, case, notes, body, way).await?;
            if let Some(timing) = &mut case.exchange.timing {
                timing.answer();
            }
            case.exchange.response = back.head;
            *tunnel = back.tunnel;
            return Ok(back.body);
        }
        Action::Redirect(redirect) => (redirect.answer(&case.exchange)?, Bytes::new(), "redirect"),
        Action::Respond(fixed) => {
            let (head, body) = fixed.answer();
            (head, body, "fixed_answer")
        }
    };
    case.exchange.answer_locally(head, body, reason);
    Ok(local(&mut case.exchange))
}

/// What the route and the client say of the way to the upstream.
fn way(route: &Route, exchange: &mut Exchange, kind: Kind) -> Result<Way, Fault> {
    let mut limit = route.timeout.request;
    let mut asked = None;
    match kind {
        Kind::Plain => {}
        Kind::Grpc => {
            let deadline = grpc::timeout(exchange.request.headers());
            limit = deadline.into_iter().chain(limit).min();
        }
        Kind::Upgrade | Kind::ExtendedConnect => asked = upgrade::ask(exchange, kind, route)?,
    }
    Ok(Way { time: limit.map(Time::begin), asked })
}

/// The response that the gateway or a policy has put into the exchange.
pub fn local(exchange: &mut Exchange) -> ResponseBody {
    ResponseBody::take_local(exchange).unwrap_or_else(|| ResponseBody::Full(Whole::default()))
}

/// What the gateway can do besides its routes: nothing that has to be told.
fn options(exchange: &mut Exchange) {
    let mut head = Response::new(());
    *head.status_mut() = StatusCode::NO_CONTENT;
    exchange.answer_locally(head, Bytes::new(), "options");
}

/// An exchange under way, from the request's head to the end of the response's body. However it
/// ends, dropping it is what tells the log and the policies that want to know.
pub struct Live {
    /// As long as somebody has to be told, the worker does not end.
    connection: Rc<Connection>,
    world: Rc<World>,
    route: Option<usize>,
    case: Case,
    /// What the upstream has agreed to go on in.
    tunnel: Option<Box<Tunnel>>,
    /// None if neither metrics nor the access log want to know.
    watch: Option<Watch>,
    sent: u64,
    end: End,
    /// Everybody knows, or is being told.
    told: bool,
}

impl Live {
    fn begin(
        connection: Rc<Connection>,
        world: Rc<World>,
        client: Client,
        mut head: Request<()>,
        route: Option<usize>,
        watch: Option<Watch>,
    ) -> Box<Self> {
        let facts = route.map(|number| world.facts(number)).unwrap_or_default();
        let mut id = connection.worker.next_id();
        if let Some(ids) = &world.snapshot.request_ids {
            let is_proxy = world.snapshot.forwarding.trusts(client.peer.ip());
            request_id::settle(ids, is_proxy, &mut head, &mut id);
        }
        let mut case = Case::new(Exchange::new(id, client, facts, head));
        if watch.as_ref().is_some_and(Watch::wants_hooks) {
            case.exchange.hooks = Some(Box::default());
        }
        let (sent, end, told, tunnel) = (0, End::default(), false, None);
        Box::new(Live { connection, world, route, case, tunnel, watch, sent, end, told })
    }

    /// The response for the client, which carries the exchange to its end if anybody wants to see it.
    fn answer(mut self: Box<Self>, mut body: ResponseBody, to_head: bool) -> Response<AnswerBody> {
        head::leave_out_body(&mut self.case.exchange.response, &mut body, to_head);
        // What has no body is never asked for one.
        if body.is_end_stream() {
            self.end = End::Complete;
        }
        let mut head = std::mem::take(&mut self.case.exchange.response);
        let tunnel = self.tunnel.take().filter(|_| head.status() == StatusCode::SWITCHING_PROTOCOLS);
        if self.connection.door.is_leaving() && self.case.exchange.request.version() < Version::HTTP_2 {
            head.headers_mut().insert(header::CONNECTION, CLOSE);
        }
        if let Some(tunnel) = &tunnel {
            tunnel.agree(&mut head);
        }
        if let Some(ids) = &self.world.snapshot.request_ids {
            request_id::tell(ids, &mut head, &self.case.exchange.id);
        }
        *self.case.exchange.response.status_mut() = head.status();
        if self.policies_want_to_know() {
            *self.case.exchange.response.headers_mut() = head.headers().clone();
        }
        if let (Some(watch), Some(observers)) = (&self.watch, &self.world.observers) {
            watch.answered(observers, &head);
        }
        // What still streams has hooks to call.
        self.case.lay_down();
        if let Some(tunnel) = tunnel {
            tokio::task::spawn_local(self.carry(tunnel));
            return head.map(|()| AnswerBody { body, live: None });
        }
        let holds_on = self.route().is_some_and(|route| route.pipeline.holds_on());
        let is_watched =
            self.watch.is_some() || self.policies_want_to_know() || self.case.is_away() || holds_on;
        let live = is_watched.then_some(self);
        head.map(|()| AnswerBody { body, live })
    }

    /// An exchange that goes on in another protocol ends when that does.
    async fn carry(mut self: Box<Self>, tunnel: Box<Tunnel>) {
        self.end = End::Client;
        let traffic = tunnel.run().await;
        self.sent = traffic.to_client;
        self.end = traffic.end;
        if let Some(watch) = &mut self.watch {
            watch.tunnelled(traffic.from_client);
        }
    }

    /// A local answer as a gRPC client reads it.
    fn grpc(&mut self, answer: ResponseBody) -> ResponseBody {
        let body = match answer {
            ResponseBody::Full(whole) => whole.bytes,
            _ => Bytes::new(),
        };
        grpc::settle(&mut self.case.exchange, &body);
        ResponseBody::Full(Whole::default())
    }

    fn policies_want_to_know(&self) -> bool {
        self.route().is_some_and(|route| route.pipeline.logs())
    }

    fn route(&self) -> Option<&Route> {
        self.world.snapshot.routes.get(self.route?)
    }

    /// Tells the policies how it ended, and then everybody else.
    async fn tell(mut self) {
        self.case.close().await;
        if let Some(route) = self.route.and_then(|number| self.world.snapshot.routes.get(number)) {
            route.pipeline.on_log(&mut self.case).await;
        }
        self.tell_observers();
    }

    fn tell_observers(&mut self) {
        let mut told = Told::Not;
        if let (Some(watch), Some(observers)) = (self.watch.take(), &self.world.observers) {
            let last =
                Last { exchange: &self.case.exchange, route: self.route, sent: self.sent, end: self.end };
            told = watch.end(&self.world.snapshot, observers, &last);
        }
        if told == Told::Not {
            refusal::tell(&self.case.exchange);
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        if let Some(route) = self.route.and_then(|number| self.world.snapshot.routes.get(number)) {
            route.pipeline.let_go(&mut self.case);
        }
        let is_late = self.policies_want_to_know() || self.case.is_away();
        if !is_late || tokio::runtime::Handle::try_current().is_err() {
            return self.tell_observers();
        }
        let ended = Live {
            connection: self.connection.clone(),
            world: self.world.clone(),
            route: self.route,
            case: std::mem::take(&mut self.case),
            tunnel: None,
            watch: self.watch.take(),
            told: true,
            ..*self
        };
        tokio::task::spawn_local(ended.tell());
    }
}

/// What the client is sent, frame by frame.
pub struct AnswerBody {
    body: ResponseBody,
    live: Option<Box<Live>>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let AnswerBody { body, live } = self.get_mut();
        let frame = ready!(body.poll_frame(context));
        if let Some(Err(error)) = &frame {
            match live {
                Some(live) => refusal::broke_off(error, &mut live.case.exchange),
                None => tracing::warn!("{error}"),
            }
        }
        if let Some(live) = live {
            if let Some(Ok(frame)) = &frame {
                live.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            live.end = match &frame {
                Some(Ok(_)) if !body.is_end_stream() => End::Client,
                Some(Ok(_)) | None => End::Complete,
                Some(Err(error)) => End::of(error),
            };
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The route of a request; none for what the gateway is asked itself.
fn find(world: &World, client: &Client, listener: usize, head: &Request<()>) -> Result<Option<usize>, Fault> {
    if head::asks_for_options(head) {
        return Ok(None);
    }
    let listener = world.snapshot.listeners.get(listener).ok_or_else(Fault::no_route)?;
    match listener.routes.find(&Ask::new(head, client.address.ip())) {
        Found::Route(number) => Ok(Some(number)),
        Found::OtherMethods(allow) => Err(Fault::method_not_allowed(allow)),
        Found::Nothing => Err(Fault::no_route()),
    }
}
