//! A client and an upstream that go on in another protocol: WebSocket, most often.
//!
//! The client asks by `Upgrade` (RFC 9110, section 7.8) or, over HTTP/2, by extended CONNECT (RFC 8441),
//! which routes and policies see as the GET that it would be in HTTP/1.1. So it goes on to the upstream,
//! and becomes an extended CONNECT again where that speaks HTTP/2 only. Once it has agreed, bytes go both ways as they come, and the exchange lives as long as they do.

mod extended_connect;
mod tunnel;
mod websocket;

use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use limen_policy::Exchange;

use crate::body::ResponseBody;
use crate::head::Kind;
use crate::refusal::Fault;
use crate::snapshot::Route;
use crate::upstream::Lease;

pub use extended_connect::ExtendedConnect;
pub use tunnel::Traffic;
use websocket::Key;

/// What a client has asked for, and the route allows.
pub struct Asked {
    client: OnUpgrade,
    protocol: HeaderValue,
    /// How it has asked.
    kind: Kind,
    /// What an HTTP/2 client leaves out of the handshake, and the upstream wants.
    key: Option<Key>,
    idle: Duration,
}

/// What both sides have agreed to.
pub struct Tunnel {
    asked: Box<Asked>,
    upstream: OnUpgrade,
    lease: Lease,
}

/// Keeps what a request asks to go on in where policies can see it, without what is for one connection
/// only; to be called before that is taken away. An HTTP/2 client's becomes the request that it would be
/// in HTTP/1.1.
pub fn settle(head: &mut Request<()>, kind: Kind) -> Option<HeaderValue> {
    match kind {
        Kind::Upgrade => {
            let named = crate::head::hop_by_hop::lists(head.headers(), &header::CONNECTION, "upgrade");
            let bare = head.method() == Method::GET && !has_body(head.headers());
            head.headers().get(header::UPGRADE).filter(|_| named && bare).cloned()
        }
        Kind::ExtendedConnect => {
            let protocol = head.extensions().get::<Protocol>()?;
            let protocol = HeaderValue::try_from(protocol.as_str()).ok()?;
            *head.method_mut() = Method::GET;
            Some(protocol)
        }
        Kind::Plain | Kind::Grpc => None,
    }
}

/// What the client has asked for. What the route does not allow is not asked of the upstream either; a
/// client of HTTP/2 can't do without (RFC 8441, section 4).
pub fn ask(exchange: &mut Exchange, kind: Kind, route: &Route) -> Result<Option<Box<Asked>>, Fault> {
    let wanted = exchange.request.headers_mut().remove(header::UPGRADE);
    let allowed = wanted.filter(|wanted| route.upgrades.iter().any(|name| is(wanted, name.as_bytes())));
    let Some(protocol) = allowed else {
        return if kind == Kind::ExtendedConnect { Err(Fault::upgrade_refused()) } else { Ok(None) };
    };
    let key = (kind == Kind::ExtendedConnect && is(&protocol, b"websocket")).then(Key::random);
    exchange.request.headers_mut().insert(header::UPGRADE, protocol.clone());
    let client = hyper::upgrade::on(&mut exchange.request);
    Ok(Some(Box::new(Asked { client, protocol, kind, key, idle: route.timeout.tunnel })))
}

impl Asked {
    /// Asks the upstream, unless a policy has taken the wish away.
    pub fn put(&self, headers: &mut HeaderMap) {
        if !headers.contains_key(header::UPGRADE) {
            return;
        }
        headers.insert(header::UPGRADE, self.protocol.clone());
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(key) = &self.key {
            key.put(headers);
        }
    }

    /// What the upstream makes of it: a tunnel, or nothing where it answers without.
    pub fn answered(
        self: Box<Self>,
        head: &mut Response<()>,
        body: &mut ResponseBody,
    ) -> Result<Option<Box<Tunnel>>, Fault> {
        if head.status() != StatusCode::SWITCHING_PROTOCOLS {
            // To a client that has sent CONNECT it would mean that the tunnel stands.
            if self.kind == Kind::ExtendedConnect && head.status().is_success() {
                return Err(Fault::upstream_broken("it answered without switching protocols"));
            }
            return Ok(None);
        }
        let protocol = head.headers().get(header::UPGRADE);
        if !protocol.is_some_and(|protocol| is(protocol, self.protocol.as_bytes())) {
            return Err(Fault::upstream_broken("it switched to a protocol that was not asked for"));
        }
        if self.key.as_ref().is_some_and(|key| !key.is_accepted(head.headers())) {
            return Err(Fault::upstream_broken("it answered another WebSocket handshake"));
        }
        let upstream = hyper::upgrade::on(head);
        match body.take_lease() {
            Some(lease) => Ok(Some(Box::new(Tunnel { asked: self, upstream, lease }))),
            None => Err(Fault::upstream_broken("it switched protocols, and its connection is gone")),
        }
    }
}

impl Tunnel {
    /// Makes of the upstream's agreement, as policies have left it, what the client expects.
    pub fn agree(&self, head: &mut Response<()>) {
        let headers = head.headers_mut();
        if self.asked.kind == Kind::ExtendedConnect {
            headers.remove(header::SEC_WEBSOCKET_ACCEPT);
            *head.status_mut() = StatusCode::OK;
        } else {
            headers.insert(header::UPGRADE, self.asked.protocol.clone());
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        }
    }

    /// Carries bytes both ways until both sides have ended, or one has gone, or none has said anything
    /// for too long.
    pub async fn run(self) -> Traffic {
        let Tunnel { asked, upstream, lease } = self;
        let traffic = tunnel::run(asked.client, upstream, asked.idle).await;
        drop(lease);
        traffic
    }
}

/// Names of protocols are compared without case (RFC 9110, section 7.8).
fn is(protocol: &HeaderValue, name: &[u8]) -> bool {
    protocol.as_bytes().eq_ignore_ascii_case(name)
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0")
}
