//! From the gateway to the upstream: the head as it goes on, and as it comes back.

use http::header::{self, HeaderValue};
use http::{Request, Response, Version};
use limen_policy::Exchange;

use crate::body::{RequestBody, ResponseBody};
use crate::head;
use crate::observe::{Attempts, Watch};
use crate::refusal::Fault;
use crate::route::Forward;
use crate::snapshot::Route;
use crate::upstream::{Answer, Outgoing};
use crate::worker::World;

/// Sends the request, as the policies left it, to an upstream of the route.
pub async fn forward(
    route: &Route,
    to: &Forward,
    world: &World,
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
    if !request.headers().contains_key(header::HOST) {
        // A client of HTTP/1.0 may have named none; in HTTP/1.1 it is empty then (RFC 9112, section 3.2).
        let host = exchange.request.uri().authority().map_or("", |host| host.as_str());
        if let Ok(host) = HeaderValue::try_from(host) {
            request.headers_mut().insert(header::HOST, host);
        }
    }
    if let Some(rewrite) = &to.rewrite {
        rewrite.host(request.headers_mut());
    }
    if route.pipeline.reads_response_bodies() {
        let identity = HeaderValue::from_static("identity");
        request.headers_mut().insert(header::ACCEPT_ENCODING, identity);
    }
    let attempts =
        watch.zip(world.observers.as_ref()).map(|(watch, observers)| Attempts::at(observers, watch, number));
    let outgoing = Outgoing { request, client: &exchange.client, attempts };
    let Answer { mut head, body } = upstream.send(outgoing).await?;
    head::strip_hop_by_hop(head.headers_mut());
    // The upstream's own; to the client each connection speaks its own.
    *head.version_mut() = Version::HTTP_11;
    Ok((head, body))
}
