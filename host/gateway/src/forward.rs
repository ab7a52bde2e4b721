//! From the gateway to the upstream: the head as it goes on, and as it comes back.

use std::rc::Rc;
use std::time::{Duration, Instant};

use http::header::{self, HeaderValue};
use http::{Request, Response, Version};
use limen_policy::Exchange;

use crate::body::{RequestBody, ResponseBody, UploadFailure};
use crate::head::{self, hop_by_hop};
use crate::observe::{Attempts, Watch};
use crate::refusal::Fault;
use crate::route::Forward;
use crate::snapshot::Route;
use crate::upstream::{Answer, Outgoing};
use crate::worker::World;

/// The time that a request has until there is a response.
#[derive(Clone, Copy)]
pub struct Time {
    pub whole: Duration,
    pub end: Instant,
}

impl Time {
    pub fn begin(whole: Duration) -> Self {
        Time { whole, end: Instant::now() + whole }
    }
}

/// Sends the request, as the policies left it, to an upstream of the route.
pub async fn forward(
    route: &Route,
    to: &Forward,
    world: &Rc<World>,
    exchange: &mut Exchange,
    watch: Option<&Watch>,
    body: RequestBody,
    time: Option<Time>,
) -> Result<(Response<()>, ResponseBody), Fault> {
    let Some(time) = time else { return send(route, to, world, exchange, watch, body).await };
    let upload = body.upload();
    let sent = tokio::time::timeout_at(time.end.into(), send(route, to, world, exchange, watch, body));
    Box::pin(sent).await.unwrap_or_else(|_| {
        let uploading = upload.is_some_and(|upload| !upload.is_done() && upload.is_waiting());
        Err(if uploading { Fault::body_too_slow() } else { Fault::request_slow(time.whole) })
    })
}

async fn send(
    route: &Route,
    to: &Forward,
    world: &Rc<World>,
    exchange: &mut Exchange,
    watch: Option<&Watch>,
    body: RequestBody,
) -> Result<(Response<()>, ResponseBody), Fault> {
    let number = to.split.pick(exchange.request.headers(), exchange.client.address.ip());
    let upstream = world
        .upstream(number)
        .ok_or_else(|| Fault::upstream_unreachable("the route's upstream is not there"))?;
    let mut request = Request::new(body);
    *request.method_mut() = exchange.request.method().clone();
    *request.uri_mut() = match &to.rewrite {
        None => head::origin_form(exchange.request.uri()),
        Some(rewrite) => rewrite.target(exchange)?,
    };
    *request.headers_mut() = if route.pipeline.looks_back() {
        exchange.request.headers().clone()
    } else {
        std::mem::take(exchange.request.headers_mut())
    };
    // A client of HTTP/1.0 may have named none; in HTTP/1.1 it is empty then (RFC 9112, section 3.2).
    request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static(""));
    if let Some(rewrite) = &to.rewrite {
        rewrite.host(request.headers_mut());
    }
    if route.pipeline.reads_response_bodies() {
        let identity = HeaderValue::from_static("identity");
        request.headers_mut().insert(header::ACCEPT_ENCODING, identity);
    }
    if let Some(copy) = to.mirror.as_ref().and_then(|mirror| mirror.copy(&mut request)) {
        copy.send(world.clone(), exchange.client.clone());
    }
    let attempts =
        watch.zip(world.observers.as_ref()).map(|(watch, observers)| Attempts::at(observers, watch, number));
    let upload = request.body().upload();
    let outgoing = Outgoing { request, client: &exchange.client, attempts, others: world.upstreams() };
    let answer = upstream.send(outgoing).await.map_err(|fault| {
        // Nobody answers half a request.
        upload.and_then(|upload| upload.failed()).map_or(fault, UploadFailure::fault)
    });
    let Answer { mut head, body } = answer?;
    hop_by_hop::strip(head.headers_mut());
    world.snapshot.forwarding.answer(&mut head);
    // The upstream's own; to the client each connection speaks its own.
    *head.version_mut() = Version::HTTP_11;
    Ok((head, body))
}
