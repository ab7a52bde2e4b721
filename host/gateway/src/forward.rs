//! From the gateway to the upstream: the head as it goes on, and as it comes back.

use std::rc::Rc;
use std::time::{Duration, Instant};

use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode, Version};

use crate::body::{RequestBody, ResponseBody, UploadFailure};
use crate::head::{self, hop_by_hop};
use crate::observe::{Attempts, Notes};
use crate::pipeline::Case;
use crate::refusal::Fault;
use crate::route::Forward;
use crate::snapshot::Route;
use crate::upgrade::{Asked, Tunnel};
use crate::upstream::{Answer, Outgoing};
use crate::worker::World;

/// What is unusual about a request on its way.
pub struct Way {
    /// The time it has until there is a response.
    pub time: Option<Time>,
    /// The protocol that its client would go on in.
    pub asked: Option<Box<Asked>>,
}

#[derive(Clone, Copy)]
pub struct Time {
    whole: Duration,
    end: Instant,
}

/// What comes back.
pub struct Back {
    pub head: Response<()>,
    pub body: ResponseBody,
    pub tunnel: Option<Box<Tunnel>>,
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
    case: &mut Case,
    notes: Notes<'_>,
    body: &mut RequestBody,
    way: Way,
) -> Result<Back, Fault> {
    let Way { time, asked } = way;
    let Some(time) = time else { return send(route, to, world, case, notes, body, asked).await };
    let upload = body.upload();
    let sent = tokio::time::timeout_at(time.end.into(), send(route, to, world, case, notes, body, asked));
    Box::pin(sent).await.unwrap_or_else(|_| {
        let uploading = upload.is_some_and(|upload| !upload.is_done() && upload.is_waiting());
        Err(if uploading { Fault::body_too_slow() } else { Fault::request_slow(time.whole) })
    })
}

async fn send(
    route: &Route,
    to: &Forward,
    world: &Rc<World>,
    case: &mut Case,
    notes: Notes<'_>,
    body: &mut RequestBody,
    asked: Option<Box<Asked>>,
) -> Result<Back, Fault> {
    let exchange = &mut case.exchange;
    let number = to.split.pick(exchange.request.headers(), exchange.client.address.ip());
    let upstream = world
        .upstream(number)
        .ok_or_else(|| Fault::upstream_unreachable("the route's upstream is not there"))?;
    let mut request = Box::new(Request::new(std::mem::replace(body, RequestBody::Empty)));
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
    // What goes on in another protocol is no copy of anything.
    let mirror = to.mirror.as_ref().filter(|_| asked.is_none());
    if let Some(copy) = mirror.and_then(|mirror| mirror.copy(&mut request)) {
        copy.send(world.clone(), exchange.client.clone());
    }
    let attempts = Attempts::at(world.observers.as_ref(), notes, number);
    if let Some(asked) = &asked {
        asked.put(request.headers_mut());
    }
    let upload = request.body().upload();
    let others = world.upstreams();
    let answer = match route.pipeline.beside(case) {
        None => {
            let client = &case.exchange.client;
            upstream.send(Outgoing { request, client, attempts, tries: None, others }).await
        }
        Some(desk) => {
            let client = case.exchange.client.clone();
            let tries = route.pipeline.tries(&desk);
            Box::pin(async move {
                let (client, tries) = (&client, tries.as_ref());
                let sent = upstream.send(Outgoing { request, client, attempts, tries, others });
                let answered = || Err(Fault::answered("a policy has answered"));
                case.aside(sent).await.unwrap_or_else(answered)
            })
            .await
        }
    };
    let answer = answer.map_err(|fault| {
        // Nobody answers half a request.
        upload.and_then(|upload| upload.failed()).map_or(fault, UploadFailure::fault)
    });
    let Answer { mut head, mut body } = answer?;
    let tunnel = match asked {
        Some(asked) => asked.answered(&mut head, &mut body)?,
        None if head.status() == StatusCode::SWITCHING_PROTOCOLS => {
            return Err(Fault::upstream_broken("it switched protocols without being asked"));
        }
        None => None,
    };
    hop_by_hop::strip(head.headers_mut());
    world.snapshot.forwarding.answer(&mut head);
    // The upstream's own; to the client each connection speaks its own.
    *head.version_mut() = Version::HTTP_11;
    Ok(Back { head, body, tunnel })
}
